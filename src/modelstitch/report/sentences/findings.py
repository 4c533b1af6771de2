"""Sentences about a study, each derived from its numbers; a picture unlike the expected one is called so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from ...records.record import Record
from ...support.words import first_of
from ..figures.style import number, plain
from ..frame import Point, curve, measured, pairs, panel, settings, unmeasured
from . import verdicts
from .remark import Remark, RemarkKind, amount, layers, listed
from .units import UnitScale, scale_of
from .warnings import warnings

_MOST = 4  # sentences of a page's beginning
_MOST_NAMES = 3


def how_to_read(
    unit: str = "points", scale: UnitScale | None = None, task: Mapping[str, Any] | None = None
) -> list[str]:
    """What the numbers mean and which levels the sentences use.

    Args:
        unit: of penalties.
        scale: its levels; those of the unit by default.
        task: what records say of the task, where it is not one of classes or texts.
    """
    scale = scale_of(unit) if scale is None else scale
    near, far = (number(level, scale.digits) for level in (scale.near, scale.far))
    return [
        "A stitched network runs the bottom layers of one frozen network, a small fitted map, and the top "
        "layers of another. Its penalty is its test error minus the error of the top network alone: 0 means "
        "that the top can use what the bottom delivers; below 0, the bottom does better than its own.",
        "A penalty is worth what its controls are worth. Self: the top's own bottom, stitched the same way. "
        "Other seed: another network of the top's kind. Random: the bottom with every parameter drawn anew. Identity: "
        "no map. Recalibration: no map, only BatchNorm statistics estimated anew. Class-noise: one random pattern per "
        "true class under as much noise, or three times as much. Shuffled: wrong pairs or labels, the null level.",
        *_of_unit(unit),
        *_of_task(task, scale),
        f"Near 0 means that the interval lies within {near} {unit} of it, on both sides; better than the top, that it "
        f"lies below 0 and not near it; off, that it begins beyond {near} {unit}; far off, beyond {far} {unit}. Depth "
        "is the share of the network's weighted operations (convolutions, matrix products) at or below a layer: "
        f"layers up to {verdicts.EARLY} are called early, from {verdicts.LATE} on late.",
        "Brackets hold 95 % intervals, paired over the same test examples. With several seeds the mean is "
        "shown, with an interval over seeds and examples (the widest of any seed, where records keep no examples). "
        "Penalty axes are linear near 0 and logarithmic beyond. Normalised is (pair − self) / (random − self), empty, "
        "with the reason, where random and self do not differ beyond their intervals.",
        "Truth checks: R² and relative error compare stitched activations with genuine ones; OOD is their median "
        "Mahalanobis distance over that of genuine ones"
        + (
            "; agreement by chance is what two networks with these class frequencies would have if their answers were "
            "unrelated."
            if task is None
            else "."
        ),
    ]


def _of_unit(unit: str) -> list[str]:
    if unit != "nats/token":
        return []
    return [
        "Here a network's error is its cross-entropy on held-out text, in nats per token; padding counts nowhere. A "
        "penalty "
        "of 0.1 nats/token means that the stitch is 1.1 times as perplexed as the top alone; perplexity is exp(error)."
    ]


def task_of(records: Sequence[Record]) -> Mapping[str, Any] | None:
    """What the records say of their task; None of classes and texts."""
    return next((task for record in records if (task := record.data.get("task"))), None)


def _of_task(task: Mapping[str, Any] | None, scale: UnitScale) -> list[str]:
    if task is None:
        return []
    name, says, unit = (plain(str(task.get(key, ""))) for key in ("name", "says", "unit"))
    what = f"Here the task is {name}, and an error of one sample is {says or 'what the task measures'}, in {unit}."
    if task.get("better") == "higher" or (task.get("metric") or {}).get("better") == "higher":
        what += " It is a score, better the higher, with its sign turned: a penalty is what the stitch scores less."
    near = number(scale.near, scale.digits)
    why = "as the task says" if "near" in task else ("3 % of the error of one answer that is the same for all samples")
    what += " Where samples have no class there is no class-noise control."
    return [f"{what} A penalty of {near} {unit} counts as near 0: {why}." if scale.near else what]


def findings(rows: pl.DataFrame) -> list[Remark]:
    """What one pair's panel says: the pair itself, then the controls that give it its scale."""
    pair = curve(rows)
    if not pair:
        return [Remark("gap", "No penalty was measured for this pair.")]
    return [
        _middle(rows, pair),
        _near_zero(rows, pair),
        *_other_seed(rows, pair),
        _random(rows, pair),
        _identity(rows),
        *_recalibration(rows, pair),
        *_self(rows),
    ]


def _middle(rows: pl.DataFrame, pair: list[Point]) -> Remark:
    chosen, gone = verdicts.middle(pair), unmeasured(rows)
    between = [(layer, depth) for layer, depth in gone if verdicts.EARLY < depth < verdicts.LATE]
    which = " that were measured" if between else ""
    where = f"In the middle layers (depth {verdicts.EARLY} to {verdicts.LATE}){which}"
    if not chosen:
        chosen, where = pair, f"Over all layers{which} (none{' of them' * bool(which)} lies in the middle)"
    worst = max(chosen, key=lambda p: p.value)
    text = f"{where} the penalty is at most {amount(worst)}, at {plain(worst.layer)}{_without(between)}."
    return Remark("finding", text)


def _near_zero(rows: pl.DataFrame, pair: list[Point]) -> Remark:
    unit, scale = pair[0].unit, pair[0].scale
    level = f"{number(scale.near, scale.digits)} {unit}".strip()
    at = {name: [p for p in pair if verdicts.state(p) == name] for name in ("near", "better", "off", "open")}
    better = f" At {layers(at['better'])} the stitch is better than the top alone." if at["better"] else ""
    base = "" if all(p.sure for p in pair) else " This is judged by values alone, since intervals are missing."
    gone = unmeasured(rows)
    without = _without(gone)
    if at["off"]:
        text = f"The penalty does not stay near 0: it is above {level} at {layers(at['off'])}{without}."
        return Remark("contrary", text + better + base)
    if at["open"]:
        where = layers(at["open"])
        text = (
            f"Whether the penalty stays near 0 is open: the interval reaches beyond {level} of it at {where}{without}."
        )
        return Remark("open", text + better + base)
    kind: RemarkKind = "open" if gone else "finding"
    if at["better"]:
        return Remark(kind, f"The penalty is nowhere above {level}{without}." + better + base)
    where = "at every layer that was measured" if gone else "at every layer"
    return Remark(kind, f"The penalty stays near 0 {where}, within {level}{without}." + base)


def _without(gone: list[tuple[str, float]]) -> str:
    """The layers without a value, as the end of a sentence."""
    return f"; not measured: {listed([layer for layer, _ in gone])}" if gone else ""


def _random(rows: pl.DataFrame, pair: list[Point]) -> Remark:
    points = curve(rows, "random")
    if not points:
        return Remark("gap", "There is no random control, so nothing tells what the stitcher could do by itself.")
    first, last = points[0], points[-1]
    span = f"from {amount(first)} at {plain(first.layer)} to {amount(last)} at {plain(last.layer)}"
    if len(points) < 2:
        return Remark("open", f"The random control was measured at one layer only: {amount(first)}.")
    without = _without(unmeasured(rows, "random"))
    if verdicts.rises(points):
        return _random_rises(last, span, without)
    far = last.scale.far
    if last.low > first.high and verdicts.state(last) == "off":
        text = f"The random control ends higher than it begins, though not in order of depth ({span})."
        return Remark("open", text)
    if all(p.low > far for p in points):
        where = "at every layer that was measured" if without else "at every layer"
        there = "there the stitcher alone cannot" if without else "nowhere can the stitcher alone"
        text = f"The random control is far off {where} ({span}): {there} do the work{without}."
        return Remark("finding", text)
    beside = {p.layer: p for p in pair}
    if all(p.layer in beside and not verdicts.as_good(p, beside[p.layer]) for p in points):
        text = (
            f"The random control does not rise with depth ({span}), but costs more than the pair wherever it was "
            "measured, beyond both intervals: some of the work the stitcher alone cannot do."
        )
        return Remark("open", text)
    return Remark(
        "contrary",
        f"The random control does not rise with depth ({span}): here a low penalty says little about training.",
    )


def _random_rises(last: Point, span: str, without: str) -> Remark:
    far, text = last.scale.far, f"The random control rises with depth, {span}"
    if last.low > far:
        return Remark("finding", f"{text}: at depth, the stitcher alone cannot do the work{without}.")
    if last.value > far:
        return Remark("open", f"{text}: whether the stitcher alone can do the work at depth is open.")
    text = f"The random control rises with depth, but only {span}: the stitcher alone does much of the work."
    return Remark("contrary", text)


def _identity(rows: pl.DataFrame) -> Remark:
    points = curve(rows, "identity")
    if not points:
        return Remark("gap", "There is no identity control: it was not asked for, or no layers have equal shapes.")
    near = [p for p in points if verdicts.state(p) in ("near", "better")]
    between = [p for p in points if p not in near and p.low <= p.scale.far]
    low, high = min(points, key=lambda p: p.value), max(points, key=lambda p: p.value)
    ends = dict.fromkeys(number(p.value, p.scale.digits, signed=True) for p in (low, high))
    span = f"{' to '.join(ends)} {low.unit}".strip()
    if not near and between:
        text = f"Without a map (identity) the penalty is {span}, not clearly far off at {layers(between)}."
        return Remark("open", text)
    if not near:
        return Remark("finding", f"Without a map (identity) the penalty is {span}: far off, so the map is needed.")
    return Remark(
        "contrary",
        f"Without a map (identity) the penalty is {span}, not off at {layers(near)}: "
        "there the two networks agree in coordinates already.",
    )


def _other_seed(rows: pl.DataFrame, pair: list[Point]) -> list[Remark]:
    """How the pair compares with another seed of the top."""
    points = {p.layer: p for p in curve(rows, "other-seed")}
    both = [p for p in pair if p.layer in points]
    if not both:
        return []
    worse = [p for p in both if p.low > points[p.layer].high]
    better = [p for p in both if p.high < points[p.layer].low]
    if worse:
        text = f"The pair pays more than another seed of the top at {layers(worse)}: they differ beyond the seed."
        return [Remark("contrary", text)]
    extra = f", and less at {layers(better)}" if better else ""
    extra += "" if len(both) == len(pair) and not unmeasured(rows) else f" (compared at {layers(both)})"
    return [Remark("finding", f"The pair pays nowhere clearly more than another seed of the top does{extra}.")]


def _recalibration(rows: pl.DataFrame, pair: list[Point]) -> list[Remark]:
    """What re-estimated BatchNorm statistics do without any map."""
    points = curve(rows, "recalibration")
    if not points:
        return []
    span = " to ".join(
        dict.fromkeys(number(p.value, signed=True) for p in (min(points, key=_worth), max(points, key=_worth)))
    )
    fitted = {p.layer: p for p in pair}
    both = [p for p in points if p.layer in fitted]
    equal = [p for p in both if verdicts.as_good(p, fitted[p.layer])]
    text = f"Re-estimated BatchNorm statistics without a map give {span} {points[0].unit}"
    if equal:
        return [Remark("contrary", f"{text}: at {layers(equal)} as good as the fitted map, which adds nothing there.")]
    if not both:
        return [Remark("open", f"{text}, at no layer beside a fitted map: whether the map does more is not known.")]
    where = "" if len(both) == len(points) else f" at {layers(both)}"
    return [Remark("finding", f"{text}: the fitted map does more than shift statistics{where}.")]


def _worth(point: Point) -> float:
    return point.value


def _self(rows: pl.DataFrame) -> list[Remark]:
    points = curve(rows, "self")
    if not points:
        return [Remark("gap", "There is no self control, so the loss due to the fit itself is unknown.")]
    off = [p for p in points if verdicts.state(p) == "off"]
    worst = max(points, key=lambda p: p.value)
    if off:
        return [
            Remark(
                "contrary",
                f"The self control pays up to {amount(worst)} ({layers(off)}): "
                "that part of the penalty is the fit's, not the bottom's.",
            )
        ]
    return [Remark("finding", f"The self control is at most {amount(worst)}, at {plain(worst.layer)}.")]


def spoken(table: pl.DataFrame) -> list[str]:
    """All findings and warnings of a study as lines of text, pair by pair: what a terminal shows of the page."""
    found = settings(measured(table))
    lines = []
    for bottom, top in pairs(table) if found else []:
        rows = panel(table, bottom, top, found[0])
        lines.append(f"{plain(bottom)} -> {plain(top)}")
        lines.extend(f"  {remark.text}" for remark in findings(rows))
        lines.extend(f"  Warning: {remark.text}" for remark in warnings(rows))
    return lines


def answers(panels: Sequence[tuple[str, pl.DataFrame]]) -> list[str]:
    """A sentence a pair: at how many layers the penalty is near 0, what that means, and where it is largest.

    Args:
        panels: (what the pair is called, its rows).
    """
    told: list[str] = []
    for name, rows in panels:
        points = curve(rows)
        if not points:
            continue
        if len(told) == _MOST:
            told.append(f"{len(panels) - _MOST} more pairs are below.")
            break
        name = f"{name}{_alone(rows)}"
        worst = max(points, key=lambda p: p.value)
        least = f"the largest penalty is {amount(worst)}, at {plain(worst.layer)}"
        near = worst.scale.near
        if not near:
            told.append(f"{name}: over {len(points)} layers {least}.")
            continue
        good = sum(verdicts.state(p) in ("near", "better") for p in points)
        level = f"{number(near, worst.scale.digits)} {worst.unit}"
        told.append(
            f"{name}: near 0 (within {level}, with its whole interval) or below at {good} of {len(points)} "
            f"layers; {least}."
        )
    return told


def _alone(rows: pl.DataFrame) -> str:
    """The errors of both networks alone, where records keep them."""
    found = [next(iter(curve(rows, metric=f"{side}_error")), None) for side in ("bottom", "top")]
    if None in found:
        return ""
    errors = [f"{number(p.value, p.scale.digits)} {p.unit}" for p in found if p is not None]
    return f" (alone they err by {errors[0]} and {errors[1]})"


def said_once(remarks: Sequence[tuple[str, Sequence[Remark]]]) -> tuple[list[Remark], list[list[Remark]]]:
    """Remarks that several pairs have in common, each once with the pairs that it concerns; and what is left of each.

    Args:
        remarks: (what the pair is called, its remarks).
    """
    pairs: dict[Remark, list[str]] = {}
    for name, own in remarks:
        for remark in own:
            pairs.setdefault(remark, []).append(name)
    common = {remark: names for remark, names in pairs.items() if len(names) > 1}
    shared = [
        Remark(remark.kind, f"{remark.text} ({_names(names, len(remarks))}.)") for remark, names in common.items()
    ]
    return shared, [[remark for remark in own if remark not in common] for _, own in remarks]


def _names(names: Sequence[str], every: int) -> str:
    if len(names) == every:
        return f"Of all {every} pairs"
    return f"Of {first_of(names, _MOST_NAMES)}"
