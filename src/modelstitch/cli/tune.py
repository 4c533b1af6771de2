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
@click.option("--steps", type=click.IntRange(1), default=500, show_default=True, help="Optimiser steps.")
@click.option(
    "--learning-rate",
    type=click.FloatRange(min=0, min_open=True),
    default=1e-3,
    show_default=True,
    help="Rate at the start of a cosine schedule.",
)
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
        common.dry(_needs(stitched, data, unfreeze, options, out))
        return
    common.kept_in(out)
    with common.progress() as tell:
        tuned = stitched.tune(data, unfreeze, tell=tell, **options)
    tuned.save(out)
    assert tuned.record is not None
    common.tables_of([metrics_summary(tuned.record, f"{tuned.seam}, {tuned.record.objective}")])
    for note in tuned.record.notes:
        common.say(note)
    common.say(f"The stitch is in {out}.")
    common.result(record=tuned.record.plain(), folder=out)


def _needs(stitched: Stitched, data: Data, unfreeze: str, options: dict[str, Any], out: Path) -> list[str]:
    """What the tuning would take, from a few steps of it: nothing is kept or written."""
    import copy
    import time

    from ..engine.fit.tune import free, spec_of, tuned
    from ..support.words import counted, duration

    spec, seed, few, seconds = spec_of({k: v for k, v in options.items() if k != "seed"}), options["seed"], 5, []
    networks, looks = stitched.networks("tune"), 1 + -(-spec.steps // spec.eval_every)
    numbers = free(copy.deepcopy(stitched), unfreeze, networks[1], stitched.seam)
    for steps in (1, 1 + few):
        begun = time.perf_counter()
        short = spec.model_copy(update={"steps": steps, "eval_every": steps})
        tuned(stitched, networks, data, unfreeze, short, seed=seed, name=stitched.seam)
        seconds.append(time.perf_counter() - begun)
    each = max(seconds[1] - seconds[0], 0.0) / few
    a_look = max(seconds[0] - each, 0.0) / 2
    return [
        f"{counted(spec.steps, 'step')} of {spec.batch_size} samples with {numbers:,} numbers free, "
        f"{counted(looks, 'look')} at the validation split. Nothing was kept or written.",
        f"Time: about {duration(each * spec.steps + a_look * looks)} on this machine, from {1 + few} measured steps.",
        f"The tuned stitch would be in {out}.",
    ]
