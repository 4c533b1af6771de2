"""Judges that hold CKA beside stitching."""

from __future__ import annotations

import math

from ..report.frame import Point
from .claims import RANGES, Judge, Place, Series, amount, counted, looked, middle
from .curves import Curves
from .figure import Verdict

CKA = "cka_linear_biased"


def similarity(label: str) -> Series:
    """The CKA that a probe measured."""
    return Series(label, CKA, "similarity")


def cka_falls(random: str, seeds: str) -> Judge:
    """CKA with a random network ends lower than it begins, and in the middle below that of another seed."""

    def judge(curves: Curves) -> Verdict:
        start = next((p.value for p in curves.points(*similarity(random))), math.nan)

        def test(p: Point, beside: Point) -> Place:
            words = f"{amount(p, 2)} (random) against {amount(beside, 2)} (another seed) at {p.layer}"
            return Place(p.high < beside.low and p.value < start, words, p.value - beside.value)

        places = looked(curves, test, similarity(random), similarity(seeds), where=middle)
        what = "CKA with a random network below its own first layer, and below that of another seed"
        return counted(places, what, RANGES)

    return judge


def disagree(cka: str, line: str, *, like: float = 0.9, level: float = 5.0) -> Judge:
    """CKA calls two networks unlike (below ``like``) where stitching costs at most ``level`` points."""

    def judge(curves: Curves) -> Verdict:
        def test(p: Point, seen: Point) -> Place:
            words = f"CKA {amount(seen, 2)}, penalty {amount(p)} at {p.layer}"
            return Place(seen.value < like and p.value <= level, words, seen.value + p.value / 100)

        places = looked(curves, test, Series(line), similarity(cka), where=middle)
        return counted(places, f"CKA below {like:g} and a penalty of at most {level:g} points")

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


def far(*probes: str, like: float) -> Judge:
    """CKA is below ``like``."""

    def judge(curves: Curves) -> Verdict:
        def at(probe: str) -> list[Place]:
            def test(p: Point) -> Place:
                return Place(p.value < like, f"{amount(p, 2)} at {p.layer} ({probe})", p.value)

            return looked(curves, test, similarity(probe), where=middle)

        return counted([place for probe in probes for place in at(probe)], f"CKA below {like:g}")

    return judge
