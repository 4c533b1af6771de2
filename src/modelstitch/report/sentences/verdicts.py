"""What counts as near 0, far off, rising or as good: the thresholds, in one place, and nothing else.

Words and tables use these and state them; a reader may disagree with a threshold, not guess it.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..figures.pair import spearman
from ..frame import Point, SeamMeans

EARLY = 0.2  # up to this depth a random bottom often stitches as well (Bansal et al. 2021, figures 2 and 5)
LATE = 0.8  # from this depth representations are mostly class structure
RISING = 0.8  # Spearman correlation with depth from which a control "rises"
UNLIKE = (
    1.0  # relative squared error from which stitched activations are no nearer to the genuine ones than their mean is
)
SKIPPED = (
    0.3  # how much deeper the sender may lie than the receiver before the seam leaves out what networks do between
)
OOD_LEVEL = 2.0  # times the median distance of genuine activations: beyond it foreign, below its inverse collapsed


def state(point: Point | SeamMeans) -> str:
    """Say where the interval lies, in one word.

    ``near``: within the level on both sides of 0; ``better``: else, wholly below 0; ``off``: wholly above the level;
    ``open``.
    """
    level = point.scale.near
    if -level <= point.low and point.high <= level:
        return "near"
    if point.high < 0:
        return "better"
    return "off" if point.low > level else "open"


def low(point: Point | SeamMeans) -> bool:
    """Whether a penalty is low: near 0, or better than the top alone, by its whole interval."""
    return state(point) in ("near", "better")


def rises(points: Sequence[Point]) -> bool:
    """Tell whether a curve rises with depth: in rank, and from first to last beyond both intervals.

    Args:
        points: of one curve.

    Returns:
        Whether it does.

    Examples:
        >>> point = lambda n: ms.report.Point.of(f"block{n}", n / 3, None, n, n - 0.5, n + 0.5, "points", 1)
        >>> points = [point(1.0), point(2.0), point(3.0)]
        >>> ms.report.rises(points)
        True
    """
    if len(points) < 2 or points[-1].low <= points[0].high:
        return False
    return spearman([p.depth for p in points], [p.value for p in points]) >= RISING


def as_good(control: Point, pair: Point) -> bool:
    """Whether a control stitches as well as the pair: its interval does not lie wholly above the pair's."""
    return control.low <= pair.high


def normalised(pair: Point, self_: Point, random: Point) -> float | None:
    """(pair - self) / (random - self); None where random and self do not differ beyond their intervals."""
    if random.low <= self_.high:
        return None
    return (pair.value - self_.value) / (random.value - self_.value)


def middle(points: Sequence[Point]) -> list[Point]:
    """Give the points strictly between the early and the late layers.

    Args:
        points: of one curve.

    Returns:
        Those between.

    Examples:
        >>> point = lambda n: ms.report.Point.of(f"block{n}", n / 3, None, n, n - 0.5, n + 0.5, "points", 1)
        >>> points = [point(1.0), point(2.0), point(3.0)]
        >>> [point.layer for point in ms.report.middle(points)]
        ['block1.0', 'block2.0']
    """
    return [p for p in points if EARLY < p.depth < LATE]
