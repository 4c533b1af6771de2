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
    """The share of the variance of y (n, q) that the best affine map of x (n, p) explains.

    Directions of x below ``subspace.RANK_TOLERANCE`` of the largest are not used.

    Raises:
        MeasureError, NonFiniteError: see ``pair``; n < 3, or an x that
            varies in n - 1 directions, where the value is 1 whatever y.
    """
    return _forward(Subspaces.of(x, y, FORWARD))


def r2_bottom_to_top_from_moments(moments: Moments) -> float:
    """``r2_bottom_to_top`` from sums over examples."""
    return _forward(Subspaces.from_moments(moments, FORWARD))


def r2_top_to_bottom(x: Activations, y: Activations) -> float:
    """The share of the variance of x (n, p) that the best affine map of y (n, q) explains: the other direction."""
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
