"""``modelstitch tune FOLDER``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import common
from .options import asked


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
@click.option("--batch-size", type=click.IntRange(1), default=128, show_default=True, help="Samples for each step.")
@click.option("--augment/--no-augment", default=True, show_default=True, help="Apply the data's augmentation.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of random numbers.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the tuned stitch."
)
@common.speaks()
@common.imports
def tune(folder: Path, data_name: str, limit: int | None, out: Path, **options: Any) -> None:
    """Train a copy of the stitch in FOLDER further on the task, and keep it.

    FOLDER is what `modelstitch stitch --out` or `Stitched.save` wrote, its networks kept by name. The stitch in it
    stays as it is.
    """
    from ..report.summary import metrics_summary
    from ..stitched.stitched import Stitched

    stitched = Stitched.load(folder)
    common.kept_in(out)
    with common.progress() as tell:
        tuned = stitched.tune(common.data_for(data_name, stitched.donors, limit), tell=tell, **options)
    tuned.save(out)
    assert tuned.record is not None
    common.tables_of([metrics_summary(tuned.record, f"{tuned.seam}, {tuned.record.objective}")])
    for note in tuned.record.notes:
        common.say(note)
    common.say(f"The stitch is in {out}.")
    common.result(record=tuned.record.plain(), folder=out)
