"""Representational similarity analysis: do both sides find the same examples alike?

Kriegeskorte, Mur and Bandettini, "Representational similarity analysis", Frontiers in Systems Neuroscience
2008 (rank correlation of distances).
Klabunde, Schumacher, Strohmaier and Lemmerich, "Similarity of neural network models", ACM Computing Surveys 2025
(norm of the difference of similarity matrices).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import MeasureError
from ..moments.moments import Moments
from .checks import Activations, bounded, cosine, distances, pair, scaled, tolerance
from .cka import overlap

RSA, DIFFERENCE = "rsa", "rsm_difference"


def rsa(x: Activations, y: Activations) -> float:
    """Compute Spearman's rank correlation between the distances in x and those in y.

    There are n (n - 1) / 2 Euclidean distances on each side; those equal up to rounding share their mean rank. Memory
    grows with n^2.

    Args:
        x: activations of one side, a tensor or an array (n, p).
        y: of the other side for the same n examples, (n, q).

    Returns:
        The correlation, -1 to 1.

    Raises:
        MeasureError, NonFiniteError: unpaired rows, a side that never varies, NaN or infinity; n < 4, or all
            distances equal.

    Examples:
        >>> round(ms.measures.rsa(x, y), 3)
        0.468
    """
    x, y = pair(x, y, measure=RSA, needed=4)
    return bounded(cosine(rank_matrix(x, "X"), rank_matrix(y, "Y")), -1, 1, RSA)


def rsm_difference(x: Activations, y: Activations) -> float:
    """Compute ||XX' - YY'||, the norm of the difference of both similarity matrices.

    Both sides are centred and scaled to norm 1.

    Args:
        x: activations of one side, a tensor or an array (n, p).
        y: of the other side for the same n examples, (n, q).

    Returns:
        The distance, 0 to the root of 2.

    Raises:
        MeasureError, NonFiniteError: unpaired rows, a side that never varies, NaN or infinity; n < 3.

    Examples:
        >>> round(ms.measures.rsm_difference(x, y), 3)
        0.645
    """
    x, y = pair(x, y, measure=DIFFERENCE, needed=3)
    return _difference(overlap(x, x), overlap(y, y), overlap(x, y))


def rsm_difference_from_moments(moments: Moments) -> float:
    """``rsm_difference`` from sums over examples."""
    m = scaled(moments, measure=DIFFERENCE, needed=3)
    return _difference(*(float(s.square().sum()) for s in (m.xx, m.yy, m.xy)))


def _difference(xx: float, yy: float, xy: float) -> float:
    return bounded(math.sqrt(max(xx + yy - 2 * xy, 0.0)), 0, math.sqrt(2), DIFFERENCE)


def rank_matrix(x: Tensor, name: str) -> Tensor:
    """The centred ranks of the distances in x (n, p) as a symmetric matrix (n, n), 0 on its diagonal."""
    upper = torch.triu_indices(len(x), len(x), 1)
    found = x.new_zeros(len(x), len(x))
    found[upper[0], upper[1]] = _centred_ranks(distances(x, RSA)[upper[0], upper[1]], name)
    return found + found.T


def _centred_ranks(d: Tensor, name: str) -> Tensor:
    ordered, order = d.sort()
    starts = torch.ones_like(ordered, dtype=torch.bool)
    starts[1:] = ordered.diff() > tolerance(ordered[1:], ordered[-1])
    group = starts.cumsum(0) - 1
    if int(group[-1]) == 0:
        raise MeasureError(
            f"{RSA} needs distances that differ, found all examples of {name} the same distance apart: use "
            "more examples."
        )
    sizes = torch.bincount(group)
    last = sizes.cumsum(0)
    mean_rank = (last - sizes + 1 + last).to(d.dtype) / 2
    ranks = torch.empty_like(d)
    ranks[order] = mean_rank[group]
    return ranks - ranks.mean()
