"""Judges that hold CKA beside stitching."""

from __future__ import annotations

import math
from dataclasses import replace

from ..report import Point, number
from .claims import RANGES, Finding, Judge, amount, at_each, beneath, counted, less, looked, middle, unmeasured
from .curves import Curves, Series
from .figure import Verdict

CKA = "cka_linear_biased"
ALIKE = 0.5  # of a first layer that is called alike: a random one in the paper has 0.98
LOW = 0.7  # what is called a low CKA: the paper's pairs with and without labels have 0.35 to 0.69 past the first layer


def similarity(label: str) -> Series:
    """The CKA that a probe measured."""
    return Series(label, CKA, "similarity")


def cka_falls(random: str, seeds: str) -> Judge:
    """CKA with a random network begins above ``ALIKE`` and is lower in the middle, below that of another seed."""

    def judge(curves: Curves) -> Verdict:
        start = next((p.value for p in curves.points(*similarity(random))), math.nan)

        def test(p: Point, beside: Point) -> Finding:
            words = (
                f"{amount(p, 2)} (random, {number(start, 2)} in the first layer) against {amount(beside, 2)} (another "
                f"seed) at {p.layer}"
            )
            falls = less(p.low, p.high, min(beside.low, start), max(beside.high, start), words, p.value - beside.value)
            return replace(falls, true=falls.true and start >= ALIKE)

        places = looked(curves, test, similarity(random), similarity(seeds), where=middle)
        what = "CKA with a random network below its own first layer, which is high, and below that of another seed"
        return counted(places, what, RANGES)

    return judge


def disagree(cka: str, line: str, seeds: str, *, level: float = 5.0) -> Judge:
    """CKA is below ``LOW`` and that of two seeds where stitching costs at most ``level``, interval included."""

    def test(p: Point, seen: Point, beside: Point) -> Finding:
        words = (
            f"CKA {amount(seen, 2)} against {amount(beside, 2)} of two seeds, penalty {amount(p)} at {p.layer} ({line})"
        )
        return Finding(
            seen.high < min(beside.low, LOW) and p.high <= level,
            words,
            seen.value - beside.value + p.high / 100,
            against=seen.low > min(beside.high, LOW) or p.low > level,
        )

    what = f"CKA below {LOW:g} and below that of two seeds, and a penalty of at most {level:g} points,"
    return at_each(test, Series(line), similarity(cka), similarity(seeds), what=what, where=middle, beyond=RANGES)


def less_alike(pair: str, seeds: str) -> Judge:
    """CKA of a pair lies below that of two seeds."""

    def words(p: Point, beside: Point) -> str:
        return f"{amount(p, 2)} against {amount(beside, 2)} at {p.layer} ({pair})"

    what = "CKA below that of two seeds"
    return beneath(similarity(pair), similarity(seeds), what, words, where=middle, beyond=RANGES)


def varies(probe: str, *, by: float) -> Judge:
    """The lowest CKA of all layers and fits lies more than ``by`` below the highest."""

    def judge(curves: Curves) -> Verdict:
        points = curves.points(*similarity(probe))
        if not points:
            return unmeasured(probe)
        low, high = min(points, key=lambda p: p.low), max(points, key=lambda p: p.high)
        words = f"From {amount(low, 2)} at {low.layer} to {amount(high, 2)} at {high.layer}."
        sure = all(p.sure for p in points)
        if high.high - low.low <= by:
            return Verdict("contrary" if sure else "not shown", words, words)
        return Verdict("holds" if sure else "holds in part", words, words)

    return judge


def between(probe: str, low: float, high: float) -> Judge:
    """CKA lies between two values at every layer, the range of the fits included."""

    def test(p: Point) -> Finding:
        away = max(low - p.low, p.high - high)
        return Finding(away <= 0, f"{amount(p, 2)} at {p.layer}", away, against=p.high < low or p.low > high)

    return at_each(test, similarity(probe), what=f"CKA between {low:g} and {high:g}")
