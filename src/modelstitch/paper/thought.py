"""The two thought experiments of section 3, run: random coordinates appended, positions shuffled."""

from __future__ import annotations

from .claims import UNMEASURED, Place, amount, counted
from .curves import Curves
from .figure import Claim, Figure, Line, Model, Probe, Verdict
from .likeness import CKA

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


def _stitching_ignores_them(curves: Curves) -> Verdict:
    return _compare(
        curves, lambda more, plain: more - plain <= FEW, f"At most {FEW:g} points more than without them", MORE.label
    )


def _stitching_sees_order(curves: Curves) -> Verdict:
    return _compare(
        curves, lambda more, plain: more - plain > FEW, f"More than {FEW:g} points above the unshuffled", SHUFFLED.label
    )


def _compare(curves: Curves, true: object, what: str, label: str) -> Verdict:
    plain = curves.points(PLAIN.label)
    assert callable(true)
    places = [
        Place(bool(true(p.value, plain[0].value)), f"{amount(p)} against {amount(plain[0])}", p.value)
        for p in curves.points(label)
        if plain
    ]
    return counted(places, what)


def _cka(label: str, falls: bool, what: str) -> object:
    def judge(curves: Curves) -> Verdict:
        plain, changed = (curves.points(name, CKA, "similarity") for name in (CKA_PLAIN.label, label))
        if not plain or not changed:
            return UNMEASURED
        one, other = plain[0], changed[0]
        true = other.value < one.value - 0.05 if falls else abs(other.value - one.value) <= SAME
        return counted([Place(true, f"{amount(other, 3)} against {amount(one, 3)} at {one.layer}", other.value)], what)

    return judge


FIGURE = Figure(
    "thought",
    "The thought experiments, run",
    "The paper argues (section 3), and does not run: append 1,000 random Gaussian coordinates to a representation, and CKA falls "
    "while stitching does not care; shuffle the positions of a map, and CKA does not see it while a 1x1 stitcher fails.",
    (
        Claim(
            "Stitching ignores spurious coordinates.",
            f"a penalty more than {FEW:g} points above that without them",
            _stitching_ignores_them,
        ),
        Claim(
            "CKA falls when they are appended.",
            "a CKA that falls by less than 0.05",
            _cka(CKA_MORE.label, True, "CKA falls by more than 0.05"),  # type: ignore[arg-type]
        ),
        Claim(
            "Stitching with a 1x1 map sees shuffled positions.",
            f"a penalty at most {FEW:g} points above that without shuffling",
            _stitching_sees_order,
        ),
        Claim(
            "CKA does not see them.",
            f"a CKA that changes by more than {SAME:g}",
            _cka(CKA_SHUFFLED.label, False, f"CKA changes by at most {SAME:g}"),  # type: ignore[arg-type]
        ),
    ),
    (PLAIN, MORE, SHUFFLED, ITSELF),
    (CKA_PLAIN, CKA_MORE, CKA_SHUFFLED),
    drawing="bars",
    notes=(
        "The coordinates are fixed functions of the sample that look random (fractional parts of large random combinations, made "
        "normal), so that each network remains a function of its input; the network behind the cut undoes either change, so "
        "both bottoms are as good as before.",
    ),
)
