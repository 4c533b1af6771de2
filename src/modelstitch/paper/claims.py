"""Judges: functions that hold a claim against a figure's curves and say the verdict with the numbers in it. Torch-free.

Every judge looks at places (a layer of a curve), asks of each whether the claim is true there, and counts: true at all
places, the claim holds; at half of them or more, it holds in part; else not at this scale. A place counts as true by the
interval, not by the mean alone, wherever a difference is claimed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..report.frame import Point
from ..report.style import number
from ..report.verdicts import EARLY, LATE, rises
from .curves import Curves
from .figure import Verdict

Judge = Callable[[Curves], Verdict]
UNMEASURED = Verdict("not measured", "The records hold no such curve.")


@dataclass(frozen=True)
class Place:
    """Where a claim was looked at, whether it is true there, and the number in words."""

    true: bool
    words: str
    weight: float  # by which the telling ones are picked: the larger, the nearer to refuting


def counted(places: Sequence[Place], what: str) -> Verdict:
    """The verdict of a count of places, and the one nearest to refuting in words."""
    if not places:
        return UNMEASURED
    true = sum(p.true for p in places)
    word = "holds" if true == len(places) else "holds in part" if 2 * true >= len(places) else "not at this scale"
    worst = max(places, key=lambda p: p.weight)
    return Verdict(word, f"{what} at {true} of {len(places)} places; nearest to refuting: {worst.words}.")  # type: ignore[arg-type]


def middle(points: Sequence[Point]) -> list[Point]:
    """The points that carry evidence: neither early, where random bottoms stitch too, nor late; all if none is left."""
    return [p for p in points if EARLY < p.depth < LATE] or list(points)


def late(points: Sequence[Point]) -> list[Point]:
    """The points from the last third on."""
    return [p for p in points if p.depth >= 2 / 3] or list(points[-1:])


def deep(points: Sequence[Point]) -> list[Point]:
    """All points but the early ones."""
    return [p for p in points if p.depth > EARLY] or list(points)


def early(points: Sequence[Point]) -> list[Point]:
    """The points up to half depth."""
    return [p for p in points if p.depth <= 0.5] or list(points[:1])


Where = Callable[[Sequence[Point]], list[Point]]


def near(*lines: str, level: float, where: Where = middle) -> Judge:
    """The penalty of every curve is at most ``level`` points."""

    def judge(curves: Curves) -> Verdict:
        places = [
            Place(p.value <= level, f"{amount(p)} at {p.layer} ({line})", p.value)
            for line in lines
            for p in where(curves.points(line))
        ]
        return counted(places, f"At most {number(level)} points")

    return judge


def rising(line: str) -> Judge:
    """The penalty rises with depth, in rank and beyond the intervals."""

    def judge(curves: Curves) -> Verdict:
        points = curves.points(line)
        if len(points) < 2:
            return UNMEASURED
        ends = f"{amount(points[0])} at {points[0].layer}, {amount(points[-1])} at {points[-1].layer}"
        if rises(points):
            return Verdict("holds", f"It rises: {ends}.")
        if points[-1].low > points[0].high:
            return Verdict("holds in part", f"It ends higher, but not in order: {ends}.")
        return Verdict("not at this scale", f"It does not rise: {ends}.")

    return judge


def below(line: str, other: str, *, where: Where = middle, control: str = "pair") -> Judge:
    """One curve's penalty lies below another's, beyond both intervals; ``control`` is the other's."""

    def judge(curves: Curves) -> Verdict:
        ours = {p.layer: p for p in where(curves.points(line))}
        theirs = {p.layer: p for p in curves.points(other, control=control)}
        named = other if control == "pair" else control
        places = [
            Place(
                p.high < theirs[layer].low,
                f"{amount(p)} ({line}) against {amount(theirs[layer])} ({named}) at {layer}",
                p.value - theirs[layer].value,
            )
            for layer, p in ours.items()
            if layer in theirs
        ]
        return counted(places, f"{line} below {named} beyond both intervals")

    return judge


def negative(line: str, *, where: Where = late) -> Judge:
    """The penalty is below zero beyond its interval: the bottom does better than the top's own."""

    def judge(curves: Curves) -> Verdict:
        places = [Place(p.high < 0, f"{amount(p)} at {p.layer}", p.value) for p in where(curves.points(line))]
        return counted(places, "Better than the top itself beyond the interval")

    return judge


def positive(line: str, *, where: Where = middle) -> Judge:
    """The penalty is above zero beyond its interval."""

    def judge(curves: Curves) -> Verdict:
        places = [Place(p.low > 0, f"{amount(p)} at {p.layer}", -p.value) for p in where(curves.points(line))]
        return counted(places, "Worse than the top itself beyond the interval")

    return judge


def all_of(*judges: Judge) -> Judge:
    """Several parts of one claim: it holds if all hold, in part if any holds at least in part."""

    def judge(curves: Curves) -> Verdict:
        parts = [j(curves) for j in judges]
        words = [p.word for p in parts]
        known = [w for w in words if w != "not measured"]
        if not known:
            return UNMEASURED
        if all(w == "holds" for w in words):
            word = "holds"
        else:
            word = "holds in part" if any(w in ("holds", "holds in part") for w in known) else "not at this scale"
        return Verdict(word, " ".join(p.sentence for p in parts))  # type: ignore[arg-type]

    return judge


def amount(point: Point, digits: int = 1) -> str:
    """A value with its interval in words."""
    text = number(point.value, digits, signed=point.unit == "points")
    if not point.sure:
        return text
    return f"{text} [{number(point.low, digits, signed=point.unit == 'points')}, {number(point.high, digits, signed=point.unit == 'points')}]"
