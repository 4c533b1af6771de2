"""Judges that hold CKA beside stitching."""

from __future__ import annotations

import math

from ..report.frame import Point
from ..report.style import number
from .claims import RANGES, Judge, Place, Series, amount, counted, looked, middle, unmeasured
from .curves import Curves
from .figure import Verdict

CKA = "cka_linear_biased"
ALIKE = 0.5  # of a first layer that is called alike: a random one in the paper has 0.98


def similarity(label: str) -> Series:
    """The CKA that a probe measured."""
    return Series(label, CKA, "similarity")


def cka_falls(random: str, seeds: str) -> Judge:
    """CKA with a random network begins above :data:`ALIKE` and is lower in the middle, below that of another seed."""

    def judge(curves: Curves) -> Verdict:
        start = next((p.value for p in curves.points(*similarity(random))), math.nan)

        def test(p: Point, beside: Point) -> Place:
            words = (
                f"{amount(p, 2)} (random, {number(start, 2)} in the first layer) against {amount(beside, 2)} (another seed) at "
                f"{p.layer}"
            )
            return Place(p.high < beside.low and p.high < start and start >= ALIKE, words, p.value - beside.value)

        places = looked(curves, test, similarity(random), similarity(seeds), where=middle)
        what = "CKA with a random network below its own first layer, which is high, and below that of another seed"
        return counted(places, what, RANGES)

    return judge


def disagree(cka: str, line: str, seeds: str, *, level: float = 5.0) -> Judge:
    """CKA calls two networks less alike than two seeds where stitching costs at most ``level`` points, interval included."""

    def judge(curves: Curves) -> Verdict:
        def test(p: Point, seen: Point, beside: Point) -> Place:
            words = f"CKA {amount(seen, 2)} against {amount(beside, 2)} of two seeds, penalty {amount(p)} at {p.layer}"
            return Place(seen.high < beside.low and p.high <= level, words, seen.value - beside.value + p.high / 100)

        places = looked(curves, test, Series(line), similarity(cka), similarity(seeds), where=middle)
        return counted(places, f"CKA below that of two seeds and a penalty of at most {level:g} points", RANGES)

    return judge


def less_alike(pair: str, seeds: str) -> Judge:
    """CKA of a pair lies below that of two seeds."""

    def judge(curves: Curves) -> Verdict:
        def test(p: Point, beside: Point) -> Place:
            words = f"{amount(p, 2)} against {amount(beside, 2)} at {p.layer}"
            return Place(p.high < beside.low, words, p.value - beside.value)

        places = looked(curves, test, similarity(pair), similarity(seeds), where=middle)
        return counted(places, "CKA below that of two seeds", RANGES)

    return judge


def varies(probe: str, *, by: float) -> Judge:
    """The lowest CKA of all layers and fits lies more than ``by`` below the highest."""

    def judge(curves: Curves) -> Verdict:
        points = curves.points(*similarity(probe))
        if not points:
            return unmeasured(probe)
        low, high = min(points, key=lambda p: p.low), max(points, key=lambda p: p.high)
        words = f"From {amount(low, 2)} at {low.layer} to {amount(high, 2)} at {high.layer}."
        return Verdict("holds" if high.high - low.low > by else "not at this scale", words)

    return judge


def between(probe: str, low: float, high: float) -> Judge:
    """CKA lies between two values at every layer, the range of the fits included."""

    def judge(curves: Curves) -> Verdict:
        def test(p: Point) -> Place:
            away = max(low - p.low, p.high - high)
            return Place(away <= 0, f"{amount(p, 2)} at {p.layer}", away)

        return counted(looked(curves, test, similarity(probe)), f"CKA between {low:g} and {high:g}")

    return judge
