"""``modelstitch stitch BOTTOM@LAYER TOP@LAYER``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import common
from .options import FIT, asked, donors, machine

if TYPE_CHECKING:
    from ..data.data import Data
    from ..network import Network


@click.command()
@donors
@asked(*FIT)
@machine
@common.dry_run
@common.speaks()
@common.shared(out=None)
def stitch(second: str | None, out: Path | None, dry_run: bool, **question: Any) -> None:
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
    if dry_run:
        _told_only(lower, upper, (below, above), data, {**question, "second": common.second_of(second, data)})
        return
    common.kept_in(out)
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
    kept = {key: value for key, value in result.record.plain().items() if key != "examples"}
    common.result(seam=result.seam, penalty=result.penalty, interval=result.interval, record=kept, folder=out)


def _told_only(lower: Network, upper: Network, at: tuple[str, str], data: Data, question: dict[str, Any]) -> None:
    """What the stitch would take."""
    from ..api import plan_compare

    del question["tensorboard"]
    question |= {name: [question[name]] for name in ("family", "objective")}
    question |= {"layers": [at], "pairs": [(lower.name, upper.name)], "controls": (), "seeds": [question.pop("seed")]}
    needs = plan_compare(list(dict.fromkeys((lower, upper))), data=data, **question)
    common.dry(needs)
