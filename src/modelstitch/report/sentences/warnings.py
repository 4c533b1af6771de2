"""Where a low penalty is not evidence of a shared representation: warnings, each derived from the numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from ...engine.controls import CONTROLS, Control, no_networks
from ...records.record import as_records
from ...stats.chance import as_poor, hardly_better
from ...support.words import rough
from ..figures.style import number, plain
from ..frame import Point, curve, seams
from . import verdicts
from .remark import Remark, layers, seams_of


def warnings(rows: pl.DataFrame) -> list[Remark]:
    """Where a low penalty in one pair's panel is not evidence of a shared representation."""
    pair = curve(rows)
    low = [p for p in pair if verdicts.low(p)]
    maybe = [p for p in pair if verdicts.state(p) != "off"]  # whose interval reaches what is low
    return [
        *_untrained(rows),
        *_elsewhere(rows),
        *(
            remark
            for name, control in CONTROLS.items()
            if control.because
            for remark in _beside(rows, low, name, control)
        ),
        *_shuffled(rows, maybe),
        *_ood(rows, maybe),
    ]


def cautions(records: Iterable[Mapping[str, Any]], bottom: str, top: str) -> list[Remark]:
    """What the records of one pair say is to be kept in mind beside its numbers, each once."""
    found = dict.fromkeys(
        note.removeprefix("caution: ")
        for record in as_records(records)
        if record.top.name == top and record.bottom.name in {bottom, top, *no_networks()}
        for note in record.notes
        if note.startswith("caution: ")
    )
    return [Remark("warning", f"{text[0].upper()}{text[1:]}.") for text in map(plain, found) if text]


def _untrained(rows: pl.DataFrame) -> list[Remark]:
    """A network that does hardly better than chance by itself."""
    chance = curve(rows, metric="chance_error")
    remarks = []
    for side, says in (
        ("top", "there is nothing to lose, and no penalty is evidence of anything"),
        ("bottom", "it has not learned the task, and its penalties are those of an untrained network"),
    ):
        own = curve(rows, metric=f"{side}_error")
        if not (own and chance):
            continue
        error, level, unit = own[0].value, chance[0].value, own[0].unit
        if unit == "percent" and hardly_better(error, level):
            told = number(error, 1)
            text = f"The {side} alone errs on {told} % of the test examples, hardly better than chance: {says}."
            remarks.append(Remark("warning", text))
        elif unit != "percent" and as_poor(error, level):
            text = (
                f"The {side} alone has an error of {rough(error)} {unit} on the test examples, hardly better than one "
                f"answer that is the same for all ({rough(level)} {unit}): {says}."
            )
            remarks.append(Remark("warning", text))
    return remarks


def _beside(rows: pl.DataFrame, low: list[Point], name: str, control: Control) -> list[Remark]:
    """Layers where a control is as good as the pair, or where nobody looked."""
    points = {p.layer: p for p in curve(rows, name)}
    remarks = []
    equal = [p for p in low if p.layer in points and points[p.layer].value <= p.value]
    for place, part in _by_place(equal):
        remarks.append(Remark("warning", f"Low penalty at {layers(part)}{place} is not evidence: {control.because}."))
    unclear = [p for p in low if p not in equal and p.layer in points and verdicts.as_good(points[p.layer], p)]
    for place, part in _by_place(unclear):
        text = f"Low penalty at {layers(part)}{place} may not be evidence: its interval meets that of {control.what}."
        remarks.append(Remark("warning", text))
    return [*remarks, *_unseen([p for p in low if p.layer not in points], control)]


def _unseen(low: list[Point], control: Control) -> list[Remark]:
    """Layers where nobody looked, though the control might do as well there."""
    if control.unseen is None:
        return []
    where, worth = control.unseen
    least, most = (0.0, verdicts.EARLY) if where == "early" else (verdicts.LATE, 1.0)
    there = [p for p in low if least <= p.depth <= most]
    if not there or (control.classes and there[0].unit != "points"):  # tokens have no class of their own
        return []
    return [Remark("warning", f"Low penalty at {layers(there)} ({where}) {worth}.")]


def _by_place(points: list[Point]) -> Iterable[tuple[str, list[Point]]]:
    early = [p for p in points if p.depth <= verdicts.EARLY]
    late = [p for p in points if p.depth >= verdicts.LATE]
    between = [p for p in points if verdicts.EARLY < p.depth < verdicts.LATE]
    return [(name, part) for name, part in ((" (early)", early), ("", between), (" (late)", late)) if part]


def _shuffled(rows: pl.DataFrame, pair: list[Point]) -> list[Remark]:
    points = {p.layer: p for p in curve(rows, "shuffled")}
    meets = [p for p in pair if p.layer in points and verdicts.as_good(points[p.layer], p)]
    equal = [p for p in meets if points[p.layer].value <= p.value]
    unclear = [p for p in meets if p not in equal]
    check = "and the fit or the data are to be checked."
    remarks = []
    if equal:
        text = (
            f"At {layers(equal)} the shuffled control is as good as the pair: the penalty is at its null level, {check}"
        )
        remarks.append(Remark("warning", text))
    if unclear:
        text = (
            f"At {layers(unclear)} the interval of the shuffled control meets the pair's: the penalty may be "
            f"at its null level, {check}"
        )
        remarks.append(Remark("warning", text))
    return remarks


def _ood(rows: pl.DataFrame, pair: list[Point]) -> list[Remark]:
    kept = {p.layer for p in pair}
    found = [p for p in curve(rows, metric="ood") if p.layer in kept]
    far = [p for p in found if p.value > verdicts.OOD_LEVEL]
    collapsed = [p for p in found if p.value < 1 / verdicts.OOD_LEVEL]
    remarks = []
    if far:
        worst = max(far, key=lambda p: p.value)
        text = (
            f"Stitched activations are foreign to the top at {layers(far)}: their median distance is up to "
            f"{number(worst.value)} times that of genuine ones (level {verdicts.OOD_LEVEL}), so the top "
            "may be reading them in a way of its own."
        )
        remarks.append(Remark("warning", text))
    if collapsed:
        worst = min(collapsed, key=lambda p: p.value)
        text = (
            f"Stitched activations collapse towards the mean at {layers(collapsed)}: their median distance is down to "
            f"{number(worst.value)} times that of genuine ones (level {1 / verdicts.OOD_LEVEL}), so the map passes on "
            "a part of what varies there, and the top may need no more."
        )
        remarks.append(Remark("warning", text))
    return remarks


def _elsewhere(rows: pl.DataFrame) -> list[Remark]:
    """Seams, matching or not, whose stitch does well without being near what it stands for."""
    low = [s for s in seams(rows) if verdicts.low(s)]
    unlike = [s for s in low if s.relative_mse is not None and s.relative_mse >= verdicts.UNLIKE]
    late = [s for s in low if s.skipped >= verdicts.SKIPPED]
    remarks = []
    if late:
        worst = max(late, key=lambda s: s.skipped)
        text = (
            f"Low penalty at {seams_of(late)} says little of the layer it stands for: the sender lies deeper than the "
            f"receiver (by up to {number(worst.skipped)} of the depth), so the top gets what is already worked out."
        )
        remarks.append(Remark("warning", text))
    if unlike:
        worst = max(unlike, key=lambda s: s.relative_mse or 0.0)
        text = (
            f"Low penalty at {seams_of(unlike)} is not evidence of one representation: the stitched activations are no "
            "nearer to the top's own than their mean is (relative squared error up to "
            f"{number(worst.relative_mse or 0.0)}; 1 is the mean), so the map has found another way through the top."
        )
        remarks.append(Remark("warning", text))
    return remarks
