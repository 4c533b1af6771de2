"""Nearest neighbours by blocks, and how many of them one search has in common with another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..errors import ArrayError
from ..support.words import among
from .given import Vectors
from .maps import Array

_QUERIES = 1024  # that are held against a block at once
METRICS = ("cosine", "dot", "euclidean")


@dataclass(frozen=True)
class Index:
    """Vectors that are searched, each through a map first where there is one.

    Attributes:
        vectors: the rows.
        through: the map.
        metric: what is near: "cosine", "dot" or "euclidean".
    """

    vectors: Vectors
    through: Callable[[Array], Array] | None = None
    metric: str = "cosine"

    def blocks(self) -> Iterator[tuple[int, Tensor]]:
        """The place of the first row, and the rows, ready for a product."""
        for place in self.vectors.slices():
            yield place.start, self._ready(self.vectors.block(place))

    def rows(self, at: NDArray[np.int64]) -> Tensor:
        """Some rows by their places, in any order."""
        places, back = np.unique(at, return_inverse=True)
        own = self.vectors.at
        return self._ready(self.vectors.only(places if own is None else own[places]).all()[back])

    def query(self, x: Array) -> Tensor:
        """Queries, ready for a product with the rows."""
        q = torch.from_numpy(np.asarray(x, dtype=np.float32))
        if self.metric == "cosine":
            return F.normalize(q, dim=1)
        return torch.cat([2 * q, -torch.ones(len(q), 1)], 1) if self.metric == "euclidean" else q

    def _ready(self, block: Array) -> Tensor:
        found = block if self.through is None else self.through(block)
        x = torch.from_numpy(np.array(found, dtype=np.float32))
        if self.metric == "cosine":
            return F.normalize(x, dim=1)
        return torch.cat([x, x.square().sum(1, keepdim=True)], 1) if self.metric == "euclidean" else x


def nearest(queries: Array, index: Index, k: int, targets: NDArray[np.int64] | None = None) -> tuple[Array, Array]:
    """The k nearest rows of each query, and the ranks of its target.

    Args:
        queries: (n, width) in the space of the index.
        index: what is searched, block by block.
        k: rows that are found, as many as the index has at most.
        targets: the place of one row for each query, whose rank is asked for.

    Returns:
        Places (n, k), the nearest first, and ranks from 1 (n,); rows as near as the target share their mean rank. No
        ranks without targets.
    """
    q = index.query(queries)
    best = torch.full((len(q), k), -torch.inf)
    places = torch.zeros((len(q), k), dtype=torch.int64)
    before = torch.zeros(len(q), dtype=torch.float64)
    if targets is not None:
        goal = torch.as_tensor(targets)
        level = (q * index.rows(targets)).sum(1)
    for start, rows in index.blocks():
        for part in (slice(i, i + _QUERIES) for i in range(0, len(q), _QUERIES)):
            near = q[part] @ rows.T
            if targets is not None:
                at, score = goal[part] - start, level[part]
                inside = ((at >= 0) & (at < len(rows))).nonzero()[:, 0]
                near[inside, at[inside]] = score[inside]  # equal to itself, however the product was rounded
                before[part] += (near > score[:, None]).sum(1) + 0.5 * (near == score[:, None]).sum(1)
            found = near.topk(min(k, len(rows)), dim=1)
            both = torch.cat([best[part], found.values], 1)
            best[part], chosen = both.topk(k, dim=1)
            places[part] = torch.cat([places[part], found.indices + start], 1).gather(1, chosen)
    ranks = before + 0.5 if targets is not None else before[:0]
    return places.numpy(), ranks.numpy()


def shares(found: Array, truth: Array, ks: Sequence[int]) -> list[NDArray[np.float64]]:
    """For each k, the share of a query's k true neighbours that are among the k found: shape (queries,), percent.

    Args:
        found: places (n, most k), the nearest first.
        truth: the same of the search that is to be met.
        ks: numbers of neighbours.
    """
    return [
        100.0 * np.array([len(np.intersect1d(a[:k], b[:k])) for a, b in zip(found, truth)], dtype=np.float64) / k
        for k in ks
    ]


def check_search(metric: str, ks: Sequence[int], gallery: int) -> None:
    """Refuse a search that cannot be made.

    Raises:
        ArrayError: an unknown metric, or a k that is no number from 1 to the gallery's size.
    """
    if metric not in METRICS:
        raise ArrayError(f"The metric {metric!r} is unknown: {among(str(metric), METRICS)}")
    if not ks or min(ks) < 1 or max(ks) > gallery:
        raise ArrayError(
            f"Neighbours are counted from 1 to the gallery's {gallery:,} rows: expected such numbers, found "
            f"{', '.join(map(str, ks)) or 'none'}."
        )
