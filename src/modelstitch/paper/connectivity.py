"""Beyond the paper: stitching connectivity beside linear mode connectivity, on the same pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..report import Point
from .claims import RANGES, Finding, Judge, amount, at_most, counted, gap, less, near, told_by
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


def barrier(curves: Curves, label: str, way: str) -> Point | None:
    """Where the error lies the most above the line between the ends' errors, in points; the mean over pairs."""
    points = curves.points(label, "barrier", "path", way)
    return max(points, key=lambda p: p.value, default=None)


def _barriers(curves: Curves, label: str, ways: Sequence[str], test: Callable[..., Finding]) -> Finding:
    """A test of one path's barriers, one a way."""
    points = [p for way in ways if (p := barrier(curves, label, way)) is not None]
    if len(points) < len(ways):
        return gap("not measured", label)
    return told_by(test(*points), points)


def _barred(paths: Sequence[Probe]) -> Judge:
    def at(curves: Curves, label: str) -> Finding:
        def test(found: Point) -> Finding:
            words = f"a barrier of {amount(found)} points ({label})"
            return less(-found.high, -found.low, -HIGH, -HIGH, words, -found.value)

        return _barriers(curves, label, (RENEWED,), test)

    what = f"A barrier of more than {HIGH:g} points, statistics renewed"
    return lambda curves: counted([at(curves, path.label) for path in paths], what)


def _lowered(paths: Sequence[Probe]) -> Judge:
    def at(curves: Curves, label: str) -> Finding:
        def test(plain: Point, matched: Point) -> Finding:
            words = f"{amount(matched)} points against {amount(plain)} ({label})"
            return less(matched.low, matched.high, plain.low, plain.high, words, matched.value - plain.value)

        return _barriers(curves, label, (RENEWED, MATCHED), test)

    what = "Matching channels lowers the barrier"
    return lambda curves: counted([at(curves, path.label) for path in paths], what, RANGES)


def _along(curves: Curves) -> Verdict:
    def test(found: Point) -> Finding:
        return at_most(found.low, found.high, LOW, f"a barrier of {amount(found)} points")

    return counted([_barriers(curves, PATH_RUN.label, (RENEWED,), test)], f"At most {LOW:g} points")


def joined(
    lines: tuple[Line, ...],
    paths: tuple[Probe, ...],
    notes: tuple[str, ...] = (),
    *,
    run: tuple[Line, Probe, Claim] | None = None,
) -> Figure:
    """The figure on these curves, and the paths between the networks of the same pairs.

    Args:
        run: two moments of one run, and what is claimed of them.
    """
    measured = "two seeds, two seeds on disjoint halves of the data, and two moments of one run" if run else "two seeds"
    claims = (
        Claim(
            "Networks of two seeds are stitching connected.",
            "a layer whose penalty, its interval included, is above 5 points",
            near(*(line.label for line in lines), level=5.0),
        ),
        Claim(
            "But not linearly connected.",
            f"a barrier of at most {HIGH:g} points on the straight line, BatchNorm statistics renewed",
            _barred(paths),
        ),
        Claim(
            "Matching their channels first lowers the barrier.",
            "a barrier that is as high",
            _lowered(paths),
        ),
    )
    return Figure(
        "connectivity",
        "Stitching connectivity beside linear mode connectivity",
        "The paper sets its discrete path against the continuous ones of mode connectivity in words only. Here both "
        f"are measured on the same pairs: {measured}.",
        (*claims, run[2]) if run else claims,
        (*lines, run[0]) if run else lines,
        (*paths, run[1]) if run else paths,
        drawing="paths",
        notes=notes,
    )


FIGURE = joined(
    (SEEDS, DISJOINT),
    (PATH_SEEDS, PATH_DISJOINT),
    run=(
        RUN,
        PATH_RUN,
        Claim(
            "Two moments of one run, past its half, are linearly connected.",
            f"a barrier of more than {LOW:g} points",
            _along,
        ),
    ),
)

__all__ = ["FIGURE", "MATCHED", "RENEWED", "STRAIGHT", "amount", "barrier"]
