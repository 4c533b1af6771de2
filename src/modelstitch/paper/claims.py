"""Judges: functions that hold a claim against a figure's curves and say the verdict with the numbers in it. Torch-free.

Every judge looks at places (a layer of a curve) and asks of each whether the interval there says what is claimed, says
the opposite, or leaves it open. Said at all places, the claim holds; at half of them or more, it holds in part; the
opposite at half of them or more, it is contrary; else it is not shown. Where there is no interval, values are compared
(or ranges, which are intervals from six fits on):
the claim holds in part at most, and nothing is contrary. A place at which a fit failed says nothing for the claim. Of a
claim on several curves no more than a part can hold while one of them was not measured. Each of these is said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Literal

from .. import report
from ..report import Point, number, rises
from .curves import Curves, Series, failed
from .figure import Verdict, Word

Judge = Callable[[Curves], Verdict]
Where = Callable[[Sequence[Point]], list[Point]]
RANGES = "the ranges of the fits"  # which stand for intervals where there is no mean over examples that are kept


@dataclass(frozen=True)
class Finding:
    """Where a claim was looked at, whether it is true there, and the number in words.

    Attributes:
        true: the interval says what is claimed; where there is none, the value does.
        against: the interval says the opposite.
        weight: by which the telling ones are picked: the larger, the nearer to refuting.
        sure: whether all values that were compared have intervals.
        ranged: where they have not, whether there are ranges of several fits.
        gap: why there is nothing to look at; ``words`` then say where.
    """

    true: bool
    words: str
    weight: float
    against: bool = False
    sure: bool = True
    ranged: bool = False
    gap: Literal["", "failed", "not measured"] = ""


def gap(kind: Literal["failed", "not measured"], where: str) -> Finding:
    """A place, or a whole curve, with nothing to look at."""
    return Finding(False, where, 0.0, gap=kind)


def looked(
    curves: Curves, test: Callable[..., Finding], first: Series, *others: Series, where: Where = list
) -> list[Finding]:
    """Every place of a curve put to a test, which gets its point and those of the other curves at the same layer.

    Args:
        where: which places of the first curve; all by default.
    """
    named = (first, *others)
    found = [{p.layer: p for p in curves.places(*s)} for s in named]
    if not all(found):
        return [gap("not measured", s.name) for s, points in zip(named, found) if not points]
    layers = [p.layer for p in where(list(found[0].values()))]
    return [_looked_at(layer, test, named, [points.get(layer) for points in found]) for layer in layers]


def compared(curves: Curves, test: Callable[[Point, Point], Finding], one: Series, other: Series) -> list[Finding]:
    """As ``looked``, but the second point is what the first curve lies above the other, fit by fit."""
    gaps = curves.differences(one, other)

    def judged(p: Point, _: Point) -> Finding:
        if p.layer not in gaps:
            return gap("not measured", f"{p.layer} ({other.name})")
        return told_by(test(p, gaps[p.layer]), [gaps[p.layer]])

    return looked(curves, judged, one, other)


def _looked_at(
    layer: str, test: Callable[..., Finding], named: Sequence[Series], points: Sequence[Point | None]
) -> Finding:
    for series, point in zip(named, points):
        if point is None or failed(point):
            return gap("not measured" if point is None else "failed", f"{layer} ({series.name})")
    return told_by(test(*points), [p for p in points if p is not None])


def told_by(place: Finding, points: Sequence[Point]) -> Finding:
    """The place with what the points behind it can say: without an interval nothing is contrary."""
    sure = place.sure and all(p.sure for p in points)
    ranged = not sure and any(p.low < p.high for p in points if not p.sure)
    return replace(place, sure=sure, ranged=ranged, against=place.against and sure)


def less(low: float, high: float, other_low: float, other_high: float, words: str, weight: float) -> Finding:
    """A place where one interval is claimed to lie below another: so, the other way round, or they meet."""
    return Finding(high < other_low, words, weight, against=low > other_high)


def at_most(low: float, high: float, bound: float, words: str) -> Finding:
    """A place where a value is claimed to be at most so much: its interval within, beyond, or across the bound."""
    return Finding(high <= bound, words, high, against=low > bound)


def counted(places: Sequence[Finding], what: str, beyond: str = "") -> Verdict:
    """The verdict of a count of places, the one nearest to refuting in words, and what is not there.

    A claim whose places have no intervals holds in part at most.

    Args:
        what: what is true at so many places.
        beyond: what it is true beyond ("both intervals"), where a difference is claimed.
    """
    seen = [p for p in places if p.gap != "not measured"]
    if not seen:
        return unmeasured(*map(attrgetter("words"), places))
    measured = [p for p in seen if not p.gap]
    true, against = sum(p.true for p in seen), sum(p.against for p in seen)
    whole = all(p.true and p.sure for p in places)
    what = what[:1].upper() + what[1:] + (f" beyond {beyond}" if beyond and _has_ends(measured) else "")
    opposite = f", the opposite at {against}" if against else ""
    worst = max(measured, key=lambda p: (p.against, p.weight)).words if measured else ""  # what refutes comes first
    nearest = f"; nearest to refuting: {worst}" if worst else ""
    sentence = f"{what} at {true} of {len(seen)} places{opposite}{_unsure(measured)}{nearest}.{_gaps(places)}"
    return Verdict(_word(true, against, len(seen), whole=whole), sentence, worst)


def _word(true: int, against: int, seen: int, *, whole: bool) -> Word:
    """The word for a claim that is true, or the opposite of true, at so many places.

    Args:
        whole: it is true wherever it is asked, by intervals.
    """
    if 2 * true >= seen:
        return "holds" if whole else "holds in part"
    return "contrary" if 2 * against >= seen else "not shown"


def _has_ends(measured: Sequence[Finding]) -> bool:
    """Whether any value has an interval or a range."""
    return any(p.sure or p.ranged for p in measured)


def _unsure(measured: Sequence[Finding]) -> str:
    """How many places have no interval, and why."""
    unsure = [p for p in measured if not p.sure]
    if not unsure:
        return ""
    some = "" if len(unsure) == len(measured) else f"{len(unsure)} of them with "
    return f" ({some}{'the range of few fits' if any(p.ranged for p in unsure) else 'one value'}, no interval)"


def unmeasured(*names: str) -> Verdict:
    """The verdict where nothing can be looked at: the curves that are missing, if any is."""
    return Verdict("not measured", f"Not measured: {', '.join(names)}." if names else "There is no place to look at.")


def _gaps(places: Sequence[Finding]) -> str:
    """What failed and what was not measured, as sentences."""
    kinds = {kind: [p.words for p in places if p.gap == kind] for kind in ("failed", "not measured")}
    return "".join(f" {kind.capitalize()}: {', '.join(words)}." for kind, words in kinds.items() if words)


def at_each(test: Callable[..., Finding], *series: Series, what: str, where: Where = list, beyond: str = "") -> Judge:
    """A test of every place of some curves, counted: see ``looked`` and ``counted``."""
    return lambda curves: counted(looked(curves, test, *series, where=where), what, beyond)


def beneath(
    one: Series,
    other: Series,
    what: str,
    words: Callable[[Point, Point], str],
    *,
    where: Where = list,
    beyond: str = "both intervals",
) -> Judge:
    """One curve lies below another at every place, beyond both intervals.

    Args:
        words: the two values at a place, in words.
    """

    def test(p: Point, theirs: Point) -> Finding:
        return less(p.low, p.high, theirs.low, theirs.high, words(p, theirs), p.value - theirs.value)

    return at_each(test, one, other, what=what, where=where, beyond=beyond)


def middle(points: Sequence[Point]) -> list[Point]:
    """The points that carry evidence: neither early, where random bottoms stitch too, nor late; all if none is left."""
    return report.middle(points) or list(points)


def late(points: Sequence[Point]) -> list[Point]:
    """The points from the last third on."""
    return [p for p in points if p.depth >= 2 / 3] or list(points[-1:])


def early(points: Sequence[Point]) -> list[Point]:
    """The points up to half depth."""
    return [p for p in points if p.depth <= 0.5] or list(points[:1])


def near(*lines: str, level: float, where: Where = list) -> Judge:
    """The penalty of every curve is at most ``level`` points, its interval included, at every place."""

    def at(curves: Curves, line: str) -> list[Finding]:
        def test(p: Point) -> Finding:
            return at_most(p.low, p.high, level, f"{amount(p)} at {p.layer} ({line})")

        return looked(curves, test, Series(line), where=where)

    what = f"At most {number(level)} points, interval included,"
    return lambda curves: counted([place for line in lines for place in at(curves, line)], what)


def no_worse(line: str, other: str, *, by: float) -> Judge:
    """One curve's penalty is at most ``by`` points above another's, both intervals included, at every place."""

    def test(p: Point, theirs: Point) -> Finding:
        words = f"{amount(p)} ({line}) against {amount(theirs)} ({other}) at {p.layer}"
        return at_most(p.low - theirs.high, p.high - theirs.low, by, words)

    what = f"{line} at most {number(by)} points above {other}, intervals included,"
    return at_each(test, Series(line), Series(other), what=what)


def no_dearer(line: str, other: str, *, by: float) -> Judge:
    """One curve's penalty is at most ``by`` points above another's, by the interval of the difference, pair by pair.

    Both have the same tops, or the same bottoms, in the same order.
    """

    def test(p: Point, more: Point) -> Finding:
        return at_most(more.low, more.high, by, f"{amount(more)} more at {p.layer} ({line})")

    what = f"{line} at most {number(by)} point{'s' * (by != 1)} above {other}, the interval of the difference included,"
    return lambda curves: counted(compared(curves, test, Series(line), Series(other)), what)


def rising(line: str) -> Judge:
    """The penalty rises with depth, in rank and beyond the intervals."""

    def judge(curves: Curves) -> Verdict:
        places = looked(curves, lambda p: Finding(True, p.layer, 0.0), Series(line))
        points, lost = curves.points(line), [p for p in places if p.gap]
        if len(points) < 2 and not any(p.gap == "failed" for p in lost):
            return unmeasured(*(p.words for p in lost))
        if len(points) < 2:
            return Verdict("not shown", f"Too few places are left to rise.{_gaps(lost)}")
        return _risen(points, lost)

    return judge


def _risen(points: Sequence[Point], lost: Sequence[Finding]) -> Verdict:
    """Whether a curve of two places or more rises."""
    first, last = points[0], points[-1]
    told = f"{amount(first)} at {first.layer}, {amount(last)} at {last.layer}"
    sure = first.sure and last.sure
    ends = f"{told}{'' if sure else ' (one value, no interval)'}.{_gaps(lost)}"
    if rises(points):
        return Verdict("holds" if sure and not lost else "holds in part", f"It rises: {ends}", told)
    if last.low > first.high:
        return Verdict("holds in part", f"It ends higher, but not in order: {ends}", told)
    word: Word = "contrary" if sure and last.high < first.low else "not shown"
    return Verdict(word, f"It does not rise: {ends}", told)


def below(line: str, other: str, *, where: Where = middle, control: str = "pair") -> Judge:
    """One curve's penalty lies below another's, beyond both intervals; ``control`` is the other's."""
    named = Series(other, control=control)

    def words(p: Point, theirs: Point) -> str:
        return f"{amount(p)} ({line}) against {amount(theirs)} ({named.name}) at {p.layer}"

    return beneath(Series(line), named, f"{line} below {named.name}", words, where=where)


def negative(line: str, *, where: Where = late) -> Judge:
    """The penalty is below zero beyond its interval: the bottom does better than the top's own."""

    def test(p: Point) -> Finding:
        return less(p.low, p.high, 0, 0, f"{amount(p)} at {p.layer} ({line})", p.value)

    return at_each(test, Series(line), what="Better than the top itself", where=where, beyond="the interval")


def positive(line: str, *, where: Where = middle) -> Judge:
    """The penalty is above zero beyond its interval."""

    def test(p: Point) -> Finding:
        return less(-p.high, -p.low, 0, 0, f"{amount(p)} at {p.layer} ({line})", -p.value)

    return at_each(test, Series(line), what="Worse than the top itself", where=where, beyond="the interval")


def all_of(*judges: Judge) -> Judge:
    """Several parts of one claim: it holds if all hold, in part if any does at least in part.

    Else contrary if any part is.
    """

    def judge(curves: Curves) -> Verdict:
        parts = [j(curves) for j in judges]
        words = [p.word for p in parts]
        known = [w for w in words if w != "not measured"]
        if not known:
            return Verdict("not measured", " ".join(p.sentence for p in parts))
        if all(w == "holds" for w in words):
            word: Word = "holds"
        else:
            rest: Word = "contrary" if "contrary" in known else "not shown"
            word = "holds in part" if any(w in ("holds", "holds in part") for w in known) else rest
        return Verdict(word, " ".join(p.sentence for p in parts), "; ".join(p.number for p in parts if p.number))

    return judge


def amount(point: Point, digits: int = 1) -> str:
    """A value with its interval, as tables and sentences about a claim say it."""
    return report.amount(replace(point, sure=point.sure or point.low < point.high), digits, bare=True)
