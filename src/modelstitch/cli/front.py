"""``modelstitch front FOLDER MODEL...``."""

from __future__ import annotations

from pathlib import Path

import click

from . import common


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.argument("models", nargs=-1, required=True)
@common.data
@click.option(
    "--by",
    type=click.Choice(["multiplications", "parameters", "milliseconds"]),
    default="multiplications",
    show_default=True,
    help="Cost that the front is about.",
)
@click.option(
    "--batch-size", type=click.IntRange(1), default=1, show_default=True, help="Samples of a call that is timed."
)
@click.option("--rounds", type=click.IntRange(1), default=15, show_default=True, help="Timed calls of each model.")
@click.option("--device", default="cpu", show_default=True, help="Device: cpu, cuda or auto.")
@click.option("--all", "everything", is_flag=True, help="List the stitches that are not on the front, too.")
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="Figure: .pdf, .svg or .png.")
@common.speaks(quiet=False)
@common.imports
def front(
    folder: Path,
    models: tuple[str, ...],
    data_name: str,
    by: str,
    batch_size: int,
    rounds: int,
    device: str,
    everything: bool,
    out: Path | None,
) -> None:
    """Lay the error of every stitch of a study beside what it costs to run.

    MODELS are the networks that were stitched, by name or donor folder; they are counted and timed here. Printed are
    the whole networks, and the stitches that no other model beats in both error and cost.
    """
    from ..report.front import with_front

    data = common.data_for(data_name, models)
    networks = [common.network(model, None, data) for model in models]
    found = common.found_in(folder).front(*networks, by=by, batch_size=batch_size, rounds=rounds, device=device)
    common.tables_of([found.table if everything else with_front(found).table])
    if out is not None:
        common.say(f"The figure is {found.draw(out)}.")
    common.result(rows=found.frame.to_dicts(), figure=out)
