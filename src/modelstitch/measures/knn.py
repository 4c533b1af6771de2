"""Mutual k-nearest neighbours: do both sides put the same examples next to each other?

Huh, Cheung, Wang and Isola, "The Platonic Representation Hypothesis", ICML 2024 (appendix A).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import MeasureError
from .checks import Activations, bounded, pair
from .distances import distances, tolerance

KNN = "mutual_knn"
NEIGHBOURS = 10


def mutual_knn(x: Activations, y: Activations, *, k: int = NEIGHBOURS) -> float:
    """The mean share of an example's k nearest neighbours in x (n, p) that are also among those in y (n, q).

    Euclidean distances; an example is not its own neighbour. Where several examples tie for the last places
    they share them equally, so that the value does not depend on the order of examples. Unrelated sides give
    k / (n - 1).

    Raises:
        MeasureError, NonFiniteError: see ``pair``; k < 1, or n < k + 2,
            where every other example would be a neighbour.
    """
    if k < 1:
        raise MeasureError(f"{KNN} needs at least one neighbour, found k={k}.")
    x, y = pair(x, y, measure=f"{KNN} with k={k}", needed=k + 2)
    a, b = (membership(side, k) for side in (x, y))
    return bounded(torch.minimum(a, b).sum() / (k * len(x)), 0, 1, KNN)


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
