"""The two thought experiments of section 3, run: random coordinates appended, positions shuffled."""

from __future__ import annotations

import math

from ..report import Point, number
from .cka import similarity
from .claims import Finding, Judge, amount, at_each, compared, counted
from .curves import Series
from .figure import Claim, Figure, Line, Model, Probe

TOP = Model(seed=0)
SEAM = ("changed -> {middle}",)
PLAIN = Line("other seed", Model(seed=1), TOP, layers=("{middle} -> {middle}",))
MORE = Line("1,000 random coordinates appended", Model(seed=1, change="coordinates appended"), TOP, layers=SEAM)
SHUFFLED = Line("positions shuffled", Model(seed=1, change="positions shuffled"), TOP, layers=SEAM)
ITSELF = Line("the top itself, positions shuffled", Model(seed=0, change="positions shuffled"), TOP, layers=SEAM)
CKA_PLAIN = Probe("similarity", "CKA, other seed", (Model(seed=1), TOP), {"seams": list(PLAIN.layers)})
CKA_MORE = Probe("similarity", "CKA, coordinates appended", (MORE.bottom, TOP), {"seams": list(SEAM)})
CKA_SHUFFLED = Probe("similarity", "CKA, positions shuffled", (SHUFFLED.bottom, TOP), {"seams": list(SEAM)})
FEW, SAME = 3.0, 0.01


def _costs(label: str, *, little: bool) -> Judge:
    """Whether a change adds at most (or more than) ``FEW`` points to the penalty, wherever in its interval."""

    def test(p: Point, plain: Point) -> Finding:
        most, least = p.high - plain.low, p.low - plain.high
        few, many = most <= FEW, least > FEW
        words = f"{amount(p)} against {amount(plain)}"
        return Finding(few if little else many, words, most if little else -least, against=many if little else few)

    what = f"{'At most' if little else 'More than'} {FEW:g} points above the unchanged, intervals included,"
    return at_each(test, Series(label), Series(PLAIN.label), what=what)


def _cka(label: str, least: float, most: float, what: str) -> Judge:
    """Whether what a change takes off CKA lies between two values."""

    def test(p: Point, more: Point) -> Finding:
        words = f"{amount(p, 3)}, {number(-more.value, 3)} less than unchanged, at {p.layer}"
        true, against = least <= -more.high and -more.low <= most, -more.low < least or -more.high > most
        return Finding(true, words, p.value, against=against)

    return lambda curves: counted(compared(curves, test, similarity(label), similarity(CKA_PLAIN.label)), what)


FIGURE = Figure(
    "thought",
    "The thought experiments, run",
    "The paper argues (section 3), and does not run: append 1,000 random Gaussian coordinates to a representation, "
    "and CKA falls while stitching does not care; shuffle the positions of a map, and CKA does not see it while a 1x1 "
    "stitcher fails.",
    (
        Claim(
            "Stitching ignores spurious coordinates.",
            f"a penalty that may be more than {FEW:g} points above that without them",
            _costs(MORE.label, little=True),
        ),
        Claim(
            "CKA falls when they are appended.",
            "a CKA that falls by less than 0.05",
            _cka(CKA_MORE.label, 0.05, math.inf, "CKA falls by more than 0.05"),
        ),
        Claim(
            "Stitching with a 1x1 map sees shuffled positions.",
            f"a penalty that may be at most {FEW:g} points above that without shuffling",
            _costs(SHUFFLED.label, little=False),
        ),
        Claim(
            "CKA does not see them.",
            f"a CKA that changes by more than {SAME:g}",
            _cka(CKA_SHUFFLED.label, -SAME, SAME, f"CKA changes by at most {SAME:g}"),
        ),
    ),
    (PLAIN, MORE, SHUFFLED, ITSELF),
    (CKA_PLAIN, CKA_MORE, CKA_SHUFFLED),
    drawing="bars",
    notes=(
        "The coordinates are fixed functions of the sample that look random (fractional parts of large random "
        "combinations, made normal), so that each network remains a function of its input; the network behind the cut "
        "undoes either change, so both bottoms are as good as before.",
    ),
)
