"""Beyond the paper: stitching connectivity beside linear mode connectivity, on the same pairs."""

from __future__ import annotations

from .claims import UNMEASURED, Place, amount, counted, near
from .curves import Curves
from .fig2a import DISJOINT
from .figure import Claim, Figure, Line, Model, Probe, Verdict

ONE, OTHER = Model(seed=0), Model(seed=1)
EARLY, LATE = Model(time=2.0, at=1.0, seed=0), Model(time=2.0, seed=0)
SEEDS = Line("other seed", OTHER, ONE)
RUN = Line("the same run, later", LATE, EARLY)
PATH_SEEDS = Probe("path", "path between two seeds", (ONE, OTHER))
PATH_DISJOINT = Probe("path", "path between disjoint halves", (DISJOINT.top, DISJOINT.bottom))
PATH_RUN = Probe("path", "path along one run", (EARLY, LATE))
HIGH, LOW = 10.0, 3.0
STRAIGHT, RENEWED, MATCHED = "straight line", "statistics renewed", "channels matched, statistics renewed"


def barrier(curves: Curves, label: str, way: str) -> float | None:
    """The most that the error lies above the line between the ends' errors, in points; the mean over pairs."""
    points = curves.points(label, "barrier", "path", way)
    return max((p.value for p in points), default=None)


def _barred(curves: Curves) -> Verdict:
    found = [(label, barrier(curves, label, RENEWED)) for label in (PATH_SEEDS.label, PATH_DISJOINT.label)]
    places = [Place(b > HIGH, f"a barrier of {b:.1f} points ({label})", -b) for label, b in found if b is not None]
    return counted(places, f"A barrier of more than {HIGH:g} points, statistics renewed")


def _lowered(curves: Curves) -> Verdict:
    places = []
    for label in (PATH_SEEDS.label, PATH_DISJOINT.label):
        plain, matched = barrier(curves, label, RENEWED), barrier(curves, label, MATCHED)
        if plain is not None and matched is not None:
            places.append(
                Place(matched < plain, f"{matched:.1f} points against {plain:.1f} ({label})", matched - plain)
            )
    return counted(places, "Matching channels lowers the barrier")


def _along(curves: Curves) -> Verdict:
    found = barrier(curves, PATH_RUN.label, RENEWED)
    if found is None:
        return UNMEASURED
    return counted([Place(found <= LOW, f"a barrier of {found:.1f} points", found)], f"At most {LOW:g} points")


FIGURE = Figure(
    "connectivity",
    "Stitching connectivity beside linear mode connectivity",
    "The paper sets its discrete path against the continuous ones of mode connectivity in words only. Here both are measured on "
    "the same pairs: two seeds, two seeds on disjoint halves of the data, and two moments of one run.",
    (
        Claim(
            "Networks of two seeds are stitching connected.",
            "a middle layer whose penalty is above 5 points",
            near(SEEDS.label, DISJOINT.label, level=5.0),
        ),
        Claim(
            "But not linearly connected.",
            f"a barrier of at most {HIGH:g} points on the straight line, BatchNorm statistics renewed",
            _barred,
        ),
        Claim(
            "Matching their channels first lowers the barrier.",
            "a barrier that is as high",
            _lowered,
        ),
        Claim(
            "Two moments of one run, past its half, are linearly connected.",
            f"a barrier of more than {LOW:g} points",
            _along,
        ),
    ),
    (SEEDS, DISJOINT, RUN),
    (PATH_SEEDS, PATH_DISJOINT, PATH_RUN),
    drawing="paths",
)

__all__ = ["FIGURE", "MATCHED", "RENEWED", "STRAIGHT", "amount", "barrier"]
