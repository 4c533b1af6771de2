"""Linear regression: how much of one side's variance an affine map of the other explains, in sample.

Kornblith et al., ICML 2019, section 5.1. With centred X, Y and an orthonormal basis U of X's columns,
R^2 of bottom -> top is ||U'Y||^2 / ||Y||^2: one minus the residual of the least-squares affine stitcher over
the total variance, all columns together (scikit-learn's ``variance_weighted``).
"""

from __future__ import annotations

from torch import Tensor

from ..moments.moments import Moments
from .checks import Activations, bounded
from .subspace import PrincipalAxes, Subspaces

FORWARD, BACKWARD = "r2_bottom_to_top", "r2_top_to_bottom"


def r2_bottom_to_top(x: Activations, y: Activations) -> float:
    """Compute the share of the variance of y that the best affine map of x explains, in sample.

    Directions of x below ``subspace.RANK_TOLERANCE`` of the largest are not used.

    Args:
        x: activations of one side, a tensor or an array (n, p).
        y: of the other side for the same n examples, (n, q).

    Returns:
        The share, 0 to 1.

    Raises:
        MeasureError, NonFiniteError: unpaired rows, a side that never varies, NaN or infinity; n < 3, or an x that
            varies in n - 1 directions, where the value is 1 whatever y.

    Examples:
        >>> round(ms.measures.r2_bottom_to_top(x, y), 3)
        0.787
    """
    return _forward(Subspaces.of(x, y, FORWARD))


def r2_bottom_to_top_from_moments(moments: Moments) -> float:
    """``r2_bottom_to_top`` from sums over examples."""
    return _forward(Subspaces.from_moments(moments, FORWARD))


def r2_top_to_bottom(x: Activations, y: Activations) -> float:
    """Compute the share of the variance of x that the best affine map of y explains, in sample.

    Args:
        x: activations of one side, a tensor or an array (n, p).
        y: of the other side for the same n examples, (n, q).

    Returns:
        The share, 0 to 1.

    Raises:
        MeasureError, NonFiniteError: as ``r2_bottom_to_top``, the sides exchanged.

    Examples:
        >>> round(ms.measures.r2_top_to_bottom(x, y), 3)
        0.483
    """
    return _backward(Subspaces.of(x, y, BACKWARD))


def r2_top_to_bottom_from_moments(moments: Moments) -> float:
    """``r2_top_to_bottom`` from sums over examples."""
    return _backward(Subspaces.from_moments(moments, BACKWARD))


def _forward(s: Subspaces) -> float:
    s.refuse_saturated(FORWARD, s.x)
    return bounded(_explained(s.cross, s.y), 0, 1, FORWARD, slack=s.slack)


def _backward(s: Subspaces) -> float:
    s.refuse_saturated(BACKWARD, s.y)
    return bounded(_explained(s.cross.T, s.x), 0, 1, BACKWARD, slack=s.slack)


def _explained(cross: Tensor, target: PrincipalAxes) -> Tensor:
    return (cross * target.scale).square().sum() / target.scale.square().sum()
