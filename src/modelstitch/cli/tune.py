"""``modelstitch tune FOLDER``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import common
from .options import asked, option

if TYPE_CHECKING:
    from ..data.data import Data
    from ..stitched.stitched import Stitched
    from ..support.ahead import Ahead


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--unfreeze",
    default="stitcher",
    show_default=True,
    help="What is trained: stitcher, after:LAYER (besides, what the top computes behind it), or all.",
)
@common.data
@asked("limit")
@option("steps", 500)
@option("learning_rate", 1e-3)
@asked("batch_size", "weight_decay")
@option("eval_every", 50)
@asked("patience", "augment")
@common.seed
@common.folder(words="Folder for the tuned stitch.", required=True)
@common.dry_run
@common.speaks()
@common.imports
def tune(
    folder: Path, data_name: str, limit: int | None, out: Path, dry_run: bool, unfreeze: str, **options: Any
) -> None:
    """Train a copy of the stitch in FOLDER further on the task, and keep it.

    FOLDER is what `modelstitch stitch --out` or `Stitched.save` wrote, its networks kept by name. The stitch in it
    stays as it is.
    """
    from ..report.summary import metrics_summary
    from ..stitched.stitched import Stitched

    stitched = Stitched.load(folder)
    data = common.data_for(data_name, stitched.donors, limit)
    if dry_run:
        common.dry(_ahead(stitched, data, unfreeze, options, out))
        return
    common.kept_in(out)
    common.ahead(lambda: _ahead(stitched, data, unfreeze, options, out))
    with common.progress() as tell:
        tuned = stitched.tune(data, unfreeze, tell=tell, **options)
    tuned.save(out)
    assert tuned.record is not None
    common.tables_of([metrics_summary(tuned.record, f"{tuned.seam}, {tuned.record.objective}")])
    for note in tuned.record.notes:
        common.say(note)
    common.say(f"The stitch is in {out}.")
    common.result(record=tuned.record.plain(), folder=out)


def _ahead(stitched: Stitched, data: Data, unfreeze: str, options: dict[str, Any], out: Path) -> Ahead:
    """What the tuning will take, from a few steps of it: nothing is kept or written."""
    import copy

    from ..engine.fit.tune import free, spec_of, tuned
    from ..support.ahead import Ahead, first_steps
    from ..support.words import counted

    spec, seed = spec_of({k: v for k, v in options.items() if k != "seed"}), options["seed"]
    networks, looks = stitched.networks("tune"), 1 + -(-spec.steps // spec.eval_every)
    numbers = free(copy.deepcopy(stitched), unfreeze, networks[1], stitched.seam)
    first, step, memory = first_steps(
        lambda stepped: tuned(
            stitched, networks, data, unfreeze, spec, seed=seed, name=stitched.seam, tell=lambda *_: stepped()
        )
    )
    return Ahead(
        f"1 cell, {counted(spec.steps, 'step')} of {spec.batch_size} samples with {numbers:,} numbers free",
        f"{spec.steps * spec.batch_size / data.size('fit'):.3g} passes over {data.size('fit'):,} samples of fit, "
        f"{counted(looks, 'look')} at {data.size('val'):,} of val, 1 at {data.size('test'):,} of test",
        memory,
        "the stitch itself and the data",
        max(first - step, 0.0) * (looks + data.size("test") / data.size("val")) + step * spec.steps,
        "from measured steps and a look",
        (f"The tuned stitch would be in {out}.",),
    )
