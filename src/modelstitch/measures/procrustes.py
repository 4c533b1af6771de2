"""Orthogonal Procrustes: how close two sides come by rotation and reflection alone.

Ding, Denain and Steinhardt, "Grounding representation similarity with statistical testing", NeurIPS 2021
(distance).
Williams, Kunz, Kornblith and Linderman, "Generalized shape metrics on neural representations", NeurIPS 2021
(angle).

Both sides are centred and scaled to Frobenius norm 1. With ||.||_* the sum of singular values, s = ||X'Y||_*
is the similarity, 2 - 2 s the distance (the least ||XQ - Y||^2 over orthogonal Q), arccos s the angle, a
metric. Sides of unequal width are compared as if the narrower had further columns of zeros.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..moments.moments import Moments
from .checks import Activations, bounded, pair, scaled, slack

SIMILARITY, DISTANCE, ANGLE = "procrustes_similarity", "procrustes_distance", "procrustes_angle"


def procrustes_similarity(x: Activations, y: Activations) -> float:
    """Compute the cosine between x, turned as well as possible, and y.

    Args:
        x: activations of one side, a tensor or an array (n, p).
        y: of the other side for the same n examples, (n, q).

    Returns:
        The cosine s, 0 to 1.

    Raises:
        MeasureError, NonFiniteError: unpaired rows, a side that never varies, NaN or infinity; n < 3.

    Examples:
        >>> round(ms.measures.procrustes_similarity(x, y), 3)
        0.669
    """
    return _cosine(*pair(x, y, measure=SIMILARITY, needed=3), SIMILARITY)


def procrustes_similarity_from_moments(moments: Moments) -> float:
    """``procrustes_similarity`` from sums over examples."""
    return _cosine_of(moments, SIMILARITY)


def procrustes_distance(x: Activations, y: Activations) -> float:
    """Compute 2 - 2 s: the squared distance that is left after the best rotation.

    Args:
        x: activations of one side, a tensor or an array (n, p).
        y: of the other side for the same n examples, (n, q).

    Returns:
        The distance, 0 to 2.

    Raises:
        MeasureError, NonFiniteError: as ``procrustes_similarity``.

    Examples:
        >>> round(ms.measures.procrustes_distance(x, y), 3)
        0.663
    """
    return 2 - 2 * _cosine(*pair(x, y, measure=DISTANCE, needed=3), DISTANCE)


def procrustes_distance_from_moments(moments: Moments) -> float:
    """``procrustes_distance`` from sums over examples."""
    return 2 - 2 * _cosine_of(moments, DISTANCE)


def procrustes_angle(x: Activations, y: Activations) -> float:
    """Compute arccos s, which obeys the triangle inequality.

    Args:
        x: activations of one side, a tensor or an array (n, p).
        y: of the other side for the same n examples, (n, q).

    Returns:
        The angle in radians, 0 to pi/2.

    Raises:
        MeasureError, NonFiniteError: as ``procrustes_similarity``.

    Examples:
        >>> round(ms.measures.procrustes_angle(x, y), 3)
        0.838
    """
    return math.acos(_cosine(*pair(x, y, measure=ANGLE, needed=3), ANGLE))


def procrustes_angle_from_moments(moments: Moments) -> float:
    """``procrustes_angle`` from sums over examples."""
    return math.acos(_cosine_of(moments, ANGLE))


def _cosine(x: Tensor, y: Tensor, measure: str) -> float:
    if len(x) < min(x.shape[1], y.shape[1]):
        # The singular values of X'Y do not change when each side's columns are turned into n of them.
        x, y = (torch.linalg.qr(side.T, mode="r").R.T for side in (x, y))
    return bounded(torch.linalg.svdvals(x.T @ y).sum(), 0, 1, measure)


def _cosine_of(moments: Moments, measure: str) -> float:
    m = scaled(moments, measure=measure, needed=3)
    return bounded(torch.linalg.svdvals(m.xy).sum(), 0, 1, measure, slack=slack(moments))
