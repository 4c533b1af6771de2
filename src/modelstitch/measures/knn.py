"""Nearest neighbours: do both sides put the same examples next to each other, and in the same order?

Huh, Cheung, Wang and Isola, "The Platonic Representation Hypothesis", ICML 2024 (appendix A; mutual neighbours).
Wang, Rao, Xu, Zhang, Yang and Chen, "Towards understanding the instability of network embedding", IEEE Transactions on
Knowledge and Data Engineering 2022 (Jaccard similarity; ranks of the common neighbours).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import MeasureError
from .checks import Activations, bounded, distances, pair, tolerance

KNN, JACCARD, RANKS = "mutual_knn", "jaccard_knn", "rank_knn"
NEIGHBOURS = 10


def mutual_knn(x: Activations, y: Activations, *, k: int = NEIGHBOURS) -> float:
    """Average the share of an example's k nearest neighbours that both sides agree on.

    Euclidean distances; an example is not its own neighbour. Where several examples tie for the last places
    they share them equally, so that the value does not depend on the order of examples. Unrelated sides give
    k / (n - 1).

    Args:
        x: activations of one side, a tensor or an array (n, p).
        y: of the other side for the same n examples, (n, q).
        k: how many neighbours, at least 1.

    Returns:
        The share, 0 to 1.

    Raises:
        MeasureError, NonFiniteError: unpaired rows, a side that never varies, NaN or infinity; k < 1, or n < k + 2,
            where every other example would be a neighbour.

    Examples:
        >>> round(ms.measures.mutual_knn(x, y), 3)
        0.388
    """
    x, y = _sides(x, y, k, KNN)
    a, b = (membership(side, k) for side in (x, y))
    return bounded(common_share(a, b), 0, 1, KNN)


def jaccard_knn(x: Activations, y: Activations, *, k: int = NEIGHBOURS) -> float:
    """Average the Jaccard similarity |A and B| / |A or B| of both sides' k nearest neighbours.

    Ties share their places, as in ``mutual_knn``.

    Args:
        x: activations of one side, a tensor or an array (n, p).
        y: of the other side for the same n examples, (n, q).
        k: how many neighbours, at least 1.

    Returns:
        The similarity, 0 to 1.

    Raises:
        MeasureError, NonFiniteError: as ``mutual_knn``.

    Examples:
        >>> round(ms.measures.jaccard_knn(x, y), 3)
        0.257
    """
    a, b = (membership(side, k) for side in _sides(x, y, k, JACCARD))
    return bounded(jaccard(a, b), 0, 1, JACCARD)


def rank_knn(x: Activations, y: Activations, *, k: int = NEIGHBOURS) -> float:
    """Compare how both sides rank the neighbours that they have in common, near ones weighing most.

    Of a common neighbour with ranks r and s it sums 2 / ((1 + |r - s|) (r + s)), over what equal ranks 1, 2, ... would
    give; an example without a common neighbour counts 0. Examples equally far share their mean rank.

    Args:
        x: activations of one side, a tensor or an array (n, p).
        y: of the other side for the same n examples, (n, q).
        k: how many neighbours, at least 1.

    Returns:
        The similarity, 0 to 1.

    Raises:
        MeasureError, NonFiniteError: as ``mutual_knn``.

    Examples:
        >>> round(ms.measures.rank_knn(x, y), 3)
        0.207
    """
    a, b = (neighbour_ranks(side, k) for side in _sides(x, y, k, RANKS))
    return bounded(rank_overlap(a, b), 0, 1, RANKS)


def common_share(a: Tensor, b: Tensor) -> Tensor:
    """The share of two memberships (n, n) that they have in common."""
    return torch.minimum(a, b).sum() / a.sum()


def jaccard(a: Tensor, b: Tensor) -> Tensor:
    """The mean Jaccard similarity of two memberships (n, n)."""
    return (torch.minimum(a, b).sum(1) / torch.maximum(a, b).sum(1)).mean()


def neighbour_ranks(x: Tensor, k: int) -> Tensor:
    """The rank of j among the k nearest of i in x (n, p), the mean one of ties, shape (n, n); 0 for no neighbour."""
    inside = membership(x, k) > 0
    d = distances(x, RANKS)
    far = d.max()
    d = d.masked_fill(~inside, torch.inf)
    near = d.topk(int(inside.sum(1).max()), largest=False)
    slack = tolerance(near.values.where(near.values.isfinite(), 0), far)[:, :, None]
    gaps = near.values[:, :, None] - near.values[:, None, :]
    below, ties = (gaps > slack).sum(2), (gaps.abs() <= slack).sum(2)
    ranks = (below + (ties + 1) / 2).to(d.dtype).masked_fill(~near.values.isfinite(), 0)
    return torch.zeros_like(d).scatter_(1, near.indices, ranks)


def rank_overlap(a: Tensor, b: Tensor) -> Tensor:
    """The mean agreement of two rankings (n, n) of neighbours."""
    common = (a > 0) & (b > 0)
    parts = 2 / ((1 + (a - b).abs()) * (a + b).clamp(min=1))
    count = common.sum(1)
    best = torch.cumsum(1 / torch.arange(1, len(a) + 1, dtype=a.dtype, device=a.device), 0)[(count - 1).clamp(min=0)]
    return ((parts * common).sum(1) / best).mean()


def _sides(x: Activations, y: Activations, k: int, measure: str) -> tuple[Tensor, Tensor]:
    if k < 1:
        raise MeasureError(f"{measure} needs at least one neighbour, found k={k}.")
    return pair(x, y, measure=f"{measure} with k={k}", needed=k + 2)


def membership(x: Tensor, k: int) -> Tensor:
    """How far j counts among the k nearest of i in x (n, p), shape (n, n).

    1, 0, or an equal part of the last places.
    """
    d = distances(x, KNN)
    largest = d.max()
    d = d.clone().fill_diagonal_(float("inf"))
    kth = d.kthvalue(k, dim=1, keepdim=True).values
    slack = tolerance(kth, largest)
    inside = d < kth - slack
    last = (d - kth).abs() <= slack
    places = k - inside.sum(1, keepdim=True)
    return inside.to(d.dtype) + last.to(d.dtype) * places / last.sum(1, keepdim=True)
