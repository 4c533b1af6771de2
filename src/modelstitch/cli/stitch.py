"""``modelstitch stitch BOTTOM@LAYER TOP@LAYER``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import common
from .options import FIT, asked, donors, machine


@click.command()
@donors
@asked(*FIT)
@machine
@common.shared(out=None)
def stitch(second: str | None, out: Path | None, **question: Any) -> None:
    """Fit and measure one seam, BOTTOM@LAYER -> TOP@LAYER; --out keeps the map and its record."""
    from ..api import stitch as fit_stitch
    from ..report.summary import metrics_summary

    for name, option in (("family", "--family"), ("objective", "--objective"), ("samples", "--fit-samples")):
        given = question[name]
        if isinstance(given, tuple | list) and len(given) > 1:
            words = ", ".join(map(str, given))
            raise click.UsageError(f"One stitch takes one {option}, found {words}: modelstitch compare takes several.")
    question |= {name: question[name][0] for name in ("family", "objective")}
    question["bottom"], below = common.split_seam_end(question["bottom"])
    question["top"], above = common.split_seam_end(question["top"])
    lower, upper, data = common.opened(question)
    with common.progress() as tell:
        result = fit_stitch(
            lower, upper, (below, above), data, second=common.second_of(second, data), tell=tell, **question
        )
    assert result.record is not None
    common.tables_of([metrics_summary(result.record, result.seam)])
    for note in result.record.notes:
        if not note.startswith("caution: "):
            common.say(f"note: {note}")
    common.cautions(result.record.notes)
    if out is not None:
        result.save(out)
        common.say(f"The stitch is in {out}.")
