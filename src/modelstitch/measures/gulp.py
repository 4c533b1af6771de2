"""GULP: how differently ridge regressions on the two sides predict, over all targets at once.

Boix-Adsera, Lawrence, Stepaniants and Rigollet, "GULP: a prediction-based metric between representations",
NeurIPS 2022.

Both sides are centred and scaled so that their covariances A and B have trace 1; C is the cross-covariance, l the
ridge. With P = (A + l I)^-1 and Q = (B + l I)^-1 the squared distance is tr(P A P A) + tr(Q B Q B) - 2 tr(P C Q C').
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import MeasureError
from ..moments.moments import Moments
from .checks import Activations, bounded, pair, scaled

GULP = "gulp"
RIDGE = 1e-2


def gulp(x: Activations, y: Activations, *, ridge: float = RIDGE) -> float:
    """Compute the GULP distance.

    It bounds how far ridge regressions from the two sides differ in their predictions, whatever the target of norm 1. A
    large ``ridge`` makes it see what CKA sees, a small one what CCA sees.

    Args:
        x: activations of one side, a tensor or an array (n, p).
        y: of the other side for the same n examples, (n, q).
        ridge: the penalty of the regressions, above 0, where both sides have norm 1.

    Returns:
        The distance, 0 or more.

    Raises:
        MeasureError, NonFiniteError: unpaired rows, a side that never varies, NaN or infinity; n < 3;
            ``ridge`` not above 0.

    Examples:
        >>> round(ms.measures.gulp(x, y), 3)
        1.741
    """
    x, y = pair(x, y, measure=GULP, needed=3)
    return _distance(x.T @ x, y.T @ y, x.T @ y, ridge)


def gulp_from_moments(moments: Moments) -> float:
    """``gulp`` from sums over examples."""
    m = scaled(moments, measure=GULP, needed=3)
    return _distance(m.xx, m.yy, m.xy, RIDGE)


def _distance(xx: Tensor, yy: Tensor, xy: Tensor, ridge: float) -> float:
    if not (math.isfinite(ridge) and ridge > 0):
        raise MeasureError(f"{GULP} needs a ridge above 0, found {ridge}: 0.01 is common.")
    left, right = (
        torch.linalg.solve(s + ridge * torch.eye(len(s), dtype=s.dtype, device=s.device), c)
        for s, c in ((xx, xy), (yy, xy.T))
    )
    shares = [torch.linalg.eigvalsh(s).clamp(min=0) for s in (xx, yy)]
    own = sum(float((s / (s + ridge)).square().sum()) for s in shares)
    squared = own - 2 * float((left * right.T).sum())
    return bounded(math.sqrt(max(squared, 0.0)), 0, math.inf, GULP)
