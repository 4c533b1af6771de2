"""Sentences about a study, each derived from its numbers; a picture unlike the expected one is called so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import polars as pl

from ..chance import hardly_better
from . import verdicts
from .frame import Point, SeamMeans, curve, measured, pairs, panel, seams, settings, unmeasured
from .style import number, plain
from .units import scale_of

Kind = Literal["finding", "contrary", "open", "warning", "gap"]


@dataclass(frozen=True)
class Remark:
    """One sentence.

    Attributes:
        kind: ``finding`` (the expected picture), ``contrary`` (it is not met), ``open`` (the intervals do not
            tell), ``warning`` (a low penalty that is no evidence), ``gap`` (a control is missing).
        text: plain text; names in it are untrusted.
    """

    kind: Kind
    text: str


def how_to_read(unit: str = "points") -> list[str]:
    """What the numbers mean and which levels the sentences use."""
    near, far = (number(level(unit), 1) for level in (verdicts.near_level, verdicts.far_level))
    return [
        "A stitched network runs the bottom layers of one frozen network, a small fitted map, and the top "
        "layers of another. Its penalty is its test error minus the error of the top network alone: 0 means "
        "that the top can use what the bottom delivers; below 0, the bottom does better than its own.",
        "A penalty is worth what its controls are worth. Self: the top's own bottom, stitched the same way. "
        "Other seed: another network of the top's kind. Random: the bottom with every parameter drawn anew. Identity: "
        "no map. Recalibration: no map, only BatchNorm statistics estimated anew. Class-noise: one random pattern per "
        "true class under as much noise, or three times as much. Shuffled: wrong pairs or labels, the null level.",
        *_of_unit(unit),
        f"Near 0 means that the interval lies within {near} {unit} of it, on both sides; better than the top, that it lies below "
        f"0 and not near it; off, that it begins beyond {near} {unit}; far off, beyond {far} {unit}. Depth is the share of the network's weighted operations (convolutions, matrix products) at or "
        f"below a layer: layers up to {verdicts.EARLY} are called early, from {verdicts.LATE} on late.",
        "Brackets hold 95 % intervals, paired over the same test examples. With several seeds the mean is "
        "shown, with an interval over seeds and examples (the widest of any seed, where records keep no examples). "
        "Penalty axes are linear near 0 and logarithmic beyond. Normalised is (pair − self) / (random − self), empty, "
        "with the reason, where random and self do not differ beyond their intervals.",
        "Truth checks: R² and relative error compare stitched activations with genuine ones; OOD is their median "
        "Mahalanobis distance over that of genuine ones; agreement by chance is what two networks with these class "
        "frequencies would have if their answers were unrelated.",
    ]


def _of_unit(unit: str) -> list[str]:
    if unit != "nats/token":
        return []
    return [
        "Here a network's error is its cross-entropy on held-out text, in nats per token; padding counts nowhere. A penalty "
        "of 0.1 nats/token means that the stitch is 1.1 times as perplexed as the top alone; perplexity is exp(error)."
    ]


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


def warnings(rows: pl.DataFrame) -> list[Remark]:
    """Where a low penalty in one pair's panel is not evidence of a shared representation."""
    pair = curve(rows)
    low = [p for p in pair if verdicts.low(p)]
    maybe = [p for p in pair if verdicts.state(p) != "off"]  # whose interval reaches what is low
    return [
        *_untrained(rows),
        *_elsewhere(rows),
        *_beside(rows, low, "random"),
        *_beside(rows, low, "class-noise"),
        *_beside(rows, low, "class-noise-strong"),
        *_shuffled(rows, maybe),
        *_ood(rows, maybe),
    ]


def _middle(rows: pl.DataFrame, pair: list[Point]) -> Remark:
    chosen, gone = verdicts.middle(pair), unmeasured(rows)
    between = [(layer, depth) for layer, depth in gone if verdicts.EARLY < depth < verdicts.LATE]
    which = " that were measured" if between else ""
    where = f"In the middle layers (depth {verdicts.EARLY} to {verdicts.LATE}){which}"
    if not chosen:
        chosen, where = pair, f"Over all layers{which} (none{' of them' * bool(which)} lies in the middle)"
    worst = max(chosen, key=lambda p: p.value)
    text = f"{where} the penalty is at most {_amount(worst)}, at {plain(worst.layer)}{_without(between)}."
    return Remark("finding", text)


def _near_zero(rows: pl.DataFrame, pair: list[Point]) -> Remark:
    unit = pair[0].unit
    level = f"{number(verdicts.near_level(unit), scale_of(unit).digits)} {unit}".strip()
    at = {name: [p for p in pair if verdicts.state(p) == name] for name in ("near", "better", "off", "open")}
    better = f" At {_layers(at['better'])} the stitch is better than the top alone." if at["better"] else ""
    base = "" if all(p.sure for p in pair) else " This is judged by values alone, since intervals are missing."
    gone = unmeasured(rows)
    without = _without(gone)
    if at["off"]:
        text = f"The penalty does not stay near 0: it is above {level} at {_layers(at['off'])}{without}."
        return Remark("contrary", text + better + base)
    if at["open"]:
        where = _layers(at["open"])
        text = (
            f"Whether the penalty stays near 0 is open: the interval reaches beyond {level} of it at {where}{without}."
        )
        return Remark("open", text + better + base)
    kind: Kind = "open" if gone else "finding"
    if at["better"]:
        return Remark(kind, f"The penalty is nowhere above {level}{without}." + better + base)
    where = "at every layer that was measured" if gone else "at every layer"
    return Remark(kind, f"The penalty stays near 0 {where}, within {level}{without}." + base)


def _without(gone: list[tuple[str, float]]) -> str:
    """The layers without a value, as the end of a sentence."""
    return f"; not measured: {_names([layer for layer, _ in gone])}" if gone else ""


def _random(rows: pl.DataFrame, pair: list[Point]) -> Remark:
    points = curve(rows, "random")
    if not points:
        return Remark("gap", "There is no random control, so nothing tells what the stitcher could do by itself.")
    first, last = points[0], points[-1]
    span = f"from {_amount(first)} at {plain(first.layer)} to {_amount(last)} at {plain(last.layer)}"
    if len(points) < 2:
        return Remark("open", f"The random control was measured at one layer only: {_amount(first)}.")
    far, without = verdicts.far_level(last.unit), _without(unmeasured(rows, "random"))
    if verdicts.rises(points) and last.low > far:
        text = f"The random control rises with depth, {span}: at depth, the stitcher alone cannot do the work{without}."
        return Remark("finding", text)
    if verdicts.rises(points) and last.value > far:
        text = (
            f"The random control rises with depth, {span}: whether the stitcher alone can do the work at depth is open."
        )
        return Remark("open", text)
    if verdicts.rises(points):
        text = f"The random control rises with depth, but only {span}: the stitcher alone does much of the work."
        return Remark("contrary", text)
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
            f"The random control does not rise with depth ({span}), but costs more than the pair wherever it was measured, beyond both "
            "intervals: some of the work the stitcher alone cannot do."
        )
        return Remark("open", text)
    return Remark(
        "contrary",
        f"The random control does not rise with depth ({span}): here a low penalty says little about training.",
    )


def _identity(rows: pl.DataFrame) -> Remark:
    points = curve(rows, "identity")
    if not points:
        return Remark("gap", "There is no identity control: it was not asked for, or no layers have equal shapes.")
    near = [p for p in points if verdicts.state(p) in ("near", "better")]
    between = [p for p in points if p not in near and p.low <= verdicts.far_level(p.unit)]
    low, high = min(points, key=lambda p: p.value), max(points, key=lambda p: p.value)
    ends = dict.fromkeys(number(p.value, scale_of(p.unit).digits, signed=True) for p in (low, high))
    span = f"{' to '.join(ends)} {low.unit}".strip()
    if not near and between:
        text = f"Without a map (identity) the penalty is {span}, not clearly far off at {_layers(between)}."
        return Remark("open", text)
    if not near:
        return Remark("finding", f"Without a map (identity) the penalty is {span}: far off, so the map is needed.")
    return Remark(
        "contrary",
        f"Without a map (identity) the penalty is {span}, not off at {_layers(near)}: "
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
        text = f"The pair pays more than another seed of the top at {_layers(worse)}: they differ beyond the seed."
        return [Remark("contrary", text)]
    extra = f", and less at {_layers(better)}" if better else ""
    extra += "" if len(both) == len(pair) and not unmeasured(rows) else f" (compared at {_layers(both)})"
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
        return [Remark("contrary", f"{text}: at {_layers(equal)} as good as the fitted map, which adds nothing there.")]
    if not both:
        return [Remark("open", f"{text}, at no layer beside a fitted map: whether the map does more is not known.")]
    where = "" if len(both) == len(points) else f" at {_layers(both)}"
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
                f"The self control pays up to {_amount(worst)} ({_layers(off)}): "
                "that part of the penalty is the fit's, not the bottom's.",
            )
        ]
    return [Remark("finding", f"The self control is at most {_amount(worst)}, at {plain(worst.layer)}.")]


_BECAUSE = {
    "random": "an untrained bottom stitches as well",
    "class-noise-strong": "class-noise with three times the noise stitches as well: classes are separable, no more is said",
    "class-noise": "class-noise stitches as well, so the number says only that classes are separable",
}

_WHAT = {
    "random": "an untrained bottom",
    "class-noise-strong": "class-noise with three times the noise",
    "class-noise": "class-noise",
}


def _untrained(rows: pl.DataFrame) -> list[Remark]:
    """A network that does hardly better than chance by itself."""
    chance = curve(rows, metric="chance_error")
    remarks = []
    for side, says in (
        ("top", "there is nothing to lose, and no penalty is evidence of anything"),
        ("bottom", "it has not learned the task, and its penalties are those of an untrained network"),
    ):
        own = curve(rows, metric=f"{side}_error")
        if own and chance and hardly_better(own[0].value, chance[0].value):
            error = number(own[0].value, 1)
            text = f"The {side} alone errs on {error} % of the test examples, hardly better than chance: {says}."
            remarks.append(Remark("warning", text))
    return remarks


def _beside(rows: pl.DataFrame, low: list[Point], control: str) -> list[Remark]:
    """Layers where a control is as good as the pair, or late layers where nobody looked."""
    points = {p.layer: p for p in curve(rows, control)}
    remarks = []
    equal = [p for p in low if p.layer in points and points[p.layer].value <= p.value]
    for name, part in _by_place(equal):
        remarks.append(Remark("warning", f"Low penalty at {_layers(part)}{name} is not evidence: {_BECAUSE[control]}."))
    unclear = [p for p in low if p not in equal and p.layer in points and verdicts.as_good(points[p.layer], p)]
    for name, part in _by_place(unclear):
        text = f"Low penalty at {_layers(part)}{name} may not be evidence: its interval meets that of {_WHAT[control]}."
        remarks.append(Remark("warning", text))
    late = [p for p in low if p.depth >= verdicts.LATE and p.layer not in points]
    if control == "class-noise" and late and late[0].unit == "points":  # tokens have no class of their own
        remarks.append(
            Remark(
                "warning",
                f"Low penalty at {_layers(late)} (late) may be class structure alone: "
                "there is no class-noise control to tell.",
            )
        )
    early = [p for p in low if p.depth <= verdicts.EARLY and p.layer not in points]
    if control == "random" and early:
        remarks.append(
            Remark(
                "warning",
                f"Low penalty at {_layers(early)} (early) may be had by an untrained bottom too: "
                "there is no random control to tell.",
            )
        )
    return remarks


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
        text = f"At {_layers(equal)} the shuffled control is as good as the pair: the penalty is at its null level, {check}"
        remarks.append(Remark("warning", text))
    if unclear:
        text = f"At {_layers(unclear)} the interval of the shuffled control meets the pair's: the penalty may be at its null level, {check}"
        remarks.append(Remark("warning", text))
    return remarks


def _ood(rows: pl.DataFrame, pair: list[Point]) -> list[Remark]:
    kept = {p.layer for p in pair}
    far = [p for p in curve(rows, metric="ood") if p.layer in kept and p.value > verdicts.OOD_LEVEL]
    if not far:
        return []
    worst = max(far, key=lambda p: p.value)
    return [
        Remark(
            "warning",
            f"Stitched activations are foreign to the top at {_layers(far)}: their median distance is up to "
            f"{number(worst.value)} times that of genuine ones (level {verdicts.OOD_LEVEL}), so the top "
            "may be reading them in a way of its own.",
        )
    ]


def _elsewhere(rows: pl.DataFrame) -> list[Remark]:
    """Seams, matching or not, whose stitch does well without being near what it stands for."""
    low = [s for s in seams(rows) if verdicts.low(s)]
    unlike = [s for s in low if s.relative_mse is not None and s.relative_mse >= verdicts.UNLIKE]
    late = [s for s in low if s.skipped >= verdicts.SKIPPED]
    remarks = []
    if late:
        worst = max(late, key=lambda s: s.skipped)
        text = (
            f"Low penalty at {_seams(late)} says little of the layer it stands for: the sender lies deeper than the receiver "
            f"(by up to {number(worst.skipped)} of the depth), so the top gets what is already worked out."
        )
        remarks.append(Remark("warning", text))
    if unlike:
        worst = max(unlike, key=lambda s: s.relative_mse or 0.0)
        text = (
            f"Low penalty at {_seams(unlike)} is not evidence of one representation: the stitched activations are no nearer "
            f"to the top's own than their mean is (relative squared error up to {number(worst.relative_mse or 0.0)}; 1 is the "
            "mean), so the map has found another way through the top."
        )
        remarks.append(Remark("warning", text))
    return remarks


def _seams(found: list[SeamMeans]) -> str:
    names = [plain(s.layer if s.bottom_layer == s.layer else f"{s.bottom_layer} -> {s.layer}") for s in found]
    if len(names) > 4:
        return f"{len(names)} seams (the first {names[0]})"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _amount(point: Point) -> str:
    digits = scale_of(point.unit).digits
    text = f"{number(point.value, digits, signed=True)} {point.unit}".strip()
    if not point.sure:
        return f"{text} (no interval)"
    return f"{text} [{number(point.low, digits)}, {number(point.high, digits)}]"


def _layers(points: list[Point]) -> str:
    return _names([p.layer for p in points])


def _names(layers: list[str]) -> str:
    names = [plain(layer) for layer in layers]
    if len(names) > 4:  # not "from ... to ...": those between need not all be meant
        return f"{len(names)} layers (first {names[0]}, last {names[-1]})"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


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
