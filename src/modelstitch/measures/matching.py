"""Matching of single features: how close two sides come where features may be paired but not mixed.

Khosla and Williams, "Soft matching distance: a metric on neural representations that captures single-neuron
tuning", UniReps 2023 (soft matching).
Williams, Kunz, Kornblith and Linderman, "Generalized shape metrics on neural representations", NeurIPS 2021
(permutation Procrustes).

Unlike CKA, CCA or Procrustes these see the axes: a rotation of one side changes them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .checks import Activations, bounded, pair

SOFT, PERMUTATION = "soft_matching", "procrustes_permutation"
_COPIES = 4096  # features of one side in an assignment, above which the transport is a linear programme


def soft_matching(x: Activations, y: Activations) -> float:
    """Average the correlation of the features of both sides under their best transport.

    Every feature of x gives 1/p in all, every feature of y takes 1/q, so that widths may differ; with p = q it is the
    best one-to-one pairing. Features that never vary correlate with nothing: 0.

    Args:
        x: activations of one side, a tensor or an array (n, p).
        y: of the other side for the same n examples, (n, q).

    Returns:
        The mean correlation, -1 to 1.

    Raises:
        MeasureError, NonFiniteError: unpaired rows, a side that never varies, NaN or infinity; n < 3.

    Examples:
        >>> round(ms.measures.soft_matching(x, y), 3)
        0.375
    """
    x, y = pair(x, y, measure=SOFT, needed=3)
    return bounded(_transport(_correlations(x, y)), -1, 1, SOFT)


def procrustes_permutation(x: Activations, y: Activations) -> float:
    """Compute 2 - 2 s, s the largest sum of matched entries of X'Y, one to one.

    Both sides are centred and scaled to norm 1: it is the least ||XP - Y||^2 over permutations P. The narrower side is
    filled up with columns of zeros.

    Args:
        x: activations of one side, a tensor or an array (n, p).
        y: of the other side for the same n examples, (n, q).

    Returns:
        The distance, 0 to 4.

    Raises:
        MeasureError, NonFiniteError: unpaired rows, a side that never varies, NaN or infinity; n < 3.

    Examples:
        >>> round(ms.measures.procrustes_permutation(x, y), 3)
        1.091
    """
    x, y = pair(x, y, measure=PERMUTATION, needed=3)
    return bounded(2 - 2 * _assigned((x.T @ y).cpu().numpy()), 0, 4, PERMUTATION)


def _correlations(x: Tensor, y: Tensor) -> NDArray[np.float64]:
    sides = []
    for side in (x, y):
        norms = side.norm(dim=0)
        sides.append(side / norms.where(norms > 0, math.inf))
    found: NDArray[np.float64] = (sides[0].T @ sides[1]).cpu().numpy()
    return found


def _assigned(gains: NDArray[np.float64]) -> float:
    from scipy.optimize import linear_sum_assignment

    return float(gains[linear_sum_assignment(gains, maximize=True)].sum())


def _transport(gains: NDArray[np.float64]) -> float:
    """The largest sum of P * gains with rows of P summing to 1/p and columns to 1/q."""
    p, q = gains.shape
    copies = math.lcm(p, q)
    if copies <= _COPIES:
        # Equal masses can be cut into equal pieces, each of which goes to one place: 20 times as fast.
        return _assigned(gains.repeat(copies // p, 0).repeat(copies // q, 1)) / copies
    from scipy.optimize import linprog
    from scipy.sparse import eye_array, kron, vstack

    rows, columns = kron(eye_array(p), np.ones((1, q))), kron(np.ones((1, p)), eye_array(q))
    masses = np.concatenate([np.full(p, 1 / p), np.full(q, 1 / q)])
    return -float(linprog(-gains.ravel(), A_eq=vstack([rows, columns]).tocsc(), b_eq=masses, method="highs").fun)
