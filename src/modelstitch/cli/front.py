"""``modelstitch front FOLDER MODEL...``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import common
from .options import several

if TYPE_CHECKING:
    from ..network import Network
    from ..results import Results
    from ..support.ahead import Ahead


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@several
@click.option(
    "--by",
    type=click.Choice(["multiplications", "parameters", "milliseconds", "exported_milliseconds"]),
    default="multiplications",
    show_default=True,
    help="Cost that the front is about.",
)
@click.option(
    "--batch-size", type=click.IntRange(1), default=1, show_default=True, help="Samples of a call that is timed."
)
@click.option("--rounds", type=click.IntRange(1), default=15, show_default=True, help="Timed calls of each model.")
@click.option(
    "--exported",
    type=click.Choice(["onnx", "pt2"]),
    help="Time every model as a file, too: in onnxruntime, or as an exported programme in torch.",
)
@common.device("cpu")
@click.option("--all", "everything", is_flag=True, help="List the stitches that are not on the front, too.")
@common.figure()
@common.dry_run
@common.speaks()
def front(
    folder: Path,
    networks: tuple[str, ...],
    everything: bool,
    out: Path | None,
    dry_run: bool,
    by: str,
    batch_size: int,
    rounds: int,
    exported: str | None,
    device: str,
    **given: Any,
) -> None:
    """Lay the error of every stitch of a study beside what it costs to run.

    NETWORKS are those that were stitched, by name or donor folder, with the weights that they had; they are counted and
    timed here. Printed are the whole networks, and the stitches that no other model beats in both error and cost.
    """
    from ..report.front import with_front

    results = common.found_in(folder)
    models, _ = common.all_opened(networks, given)
    if dry_run:
        common.dry(_ahead(results, models, batch_size, rounds, exported, out))
        return
    common.ahead(lambda: _ahead(results, models, batch_size, rounds, exported, out))
    how: dict[str, Any] = {"batch_size": batch_size, "rounds": rounds, "exported": exported, "device": device}
    found = results.front(*models, by=by, **how)
    common.tables_of([found.table if everything else with_front(found).table])
    if out is not None:
        common.say(f"The figure is {found.draw(out)}.")
    common.result(rows=found.frame.to_dicts(), figure=out)


def _ahead(
    results: Results, models: Sequence[Network], batch_size: int, rounds: int, exported: str | None, out: Path | None
) -> Ahead:
    """What the front will take: nothing is kept or written."""
    import time

    import torch

    from ..stitched.cost import donors_of, ways_of
    from ..stitched.timing import WARM_UP
    from ..support.ahead import Ahead
    from ..support.footprint import Footprint
    from ..support.words import counted

    donors_of(results.records, models)
    ways, calls, seconds, memory = ways_of(results.records), 1 + WARM_UP + rounds, [], 0
    for model in models:
        whole, inputs = model.full(), model.batch_of(batch_size)
        with torch.no_grad(), Footprint() as held:
            whole(inputs)
        memory = max(memory, held.most)
        begun = time.perf_counter()
        whole(inputs)
        seconds.append(time.perf_counter() - begun)
    every = len(ways) + len(models)
    files = f", and {every} files ({exported}) to write, which takes seconds each" if exported else ""
    return Ahead(
        f"{counted(len(ways), 'stitch', 'stitches')} and {counted(len(models), 'whole network')}, {calls} calls of "
        f"each with {counted(batch_size, 'sample')}{files}",
        "0 passes over the data",
        memory,
        "the networks and the stitches",
        sum(seconds) / len(models) * calls * every * (2 if exported else 1),
        "for the calls, from one call of each network",
        () if out is None else (f"The figure would be {out}.",),
    )
