"""Judges that hold CKA beside stitching."""

from __future__ import annotations

from .claims import UNMEASURED, Judge, Place, amount, counted, middle
from .curves import Curves
from .figure import Verdict

CKA = "cka_linear_biased"


def cka_falls(random: str, seeds: str) -> Judge:
    """CKA with a random network ends lower than it begins, and in the middle below that of another seed."""

    def judge(curves: Curves) -> Verdict:
        low, high = curves.points(random, CKA, "similarity"), curves.points(seeds, CKA, "similarity")
        if not low or not high:
            return UNMEASURED
        beside = {p.layer: p for p in high}
        places = [
            Place(
                p.high < beside[p.layer].low and p.value < low[0].value,
                f"{amount(p, 2)} (random) against {amount(beside[p.layer], 2)} (another seed) at {p.layer}",
                p.value - beside[p.layer].value,
            )
            for p in middle(low)
            if p.layer in beside
        ]
        return counted(places, "CKA with a random network below that of another seed, and below its own first layer")

    return judge


def disagree(cka: str, line: str, *, like: float = 0.9, level: float = 5.0) -> Judge:
    """CKA calls two networks unlike (below ``like``) where stitching costs at most ``level`` points."""

    def judge(curves: Curves) -> Verdict:
        seen = {p.layer: p for p in curves.points(cka, CKA, "similarity")}
        places = [
            Place(
                seen[p.layer].value < like and p.value <= level,
                f"CKA {amount(seen[p.layer], 2)}, penalty {amount(p)} at {p.layer}",
                seen[p.layer].value + p.value / 100,
            )
            for p in middle(curves.points(line))
            if p.layer in seen
        ]
        return counted(places, f"CKA below {like:g} and a penalty of at most {level:g} points")

    return judge


def less_alike(pair: str, seeds: str) -> Judge:
    """CKA of a pair lies below that of two seeds."""

    def judge(curves: Curves) -> Verdict:
        beside = {p.layer: p for p in curves.points(seeds, CKA, "similarity")}
        places = [
            Place(
                p.high < beside[p.layer].low,
                f"{amount(p, 2)} against {amount(beside[p.layer], 2)} at {p.layer}",
                p.value - beside[p.layer].value,
            )
            for p in middle(curves.points(pair, CKA, "similarity"))
            if p.layer in beside
        ]
        return counted(places, "CKA below that of two seeds")

    return judge


def far(*probes: str, like: float) -> Judge:
    """CKA is below ``like``."""

    def judge(curves: Curves) -> Verdict:
        places = [
            Place(p.value < like, f"{amount(p, 2)} at {p.layer} ({probe})", p.value)
            for probe in probes
            for p in middle(curves.points(probe, CKA, "similarity"))
        ]
        return counted(places, f"CKA below {like:g}")

    return judge
