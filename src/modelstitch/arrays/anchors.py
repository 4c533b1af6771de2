"""Which samples to embed by both models, where only few can be: drawn, spread out, or named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import ArrayError
from .given import Vectors, vectors

HOWS = ("random", "k-means", "farthest")
RowsAt: TypeAlias = Callable[[NDArray[np.int64]], NDArray[Any]]
_MOST = 20_000  # rows that k-means and farthest first look at


def anchors(x: Any, n: int, how: str = "random", *, seed: int = 0) -> NDArray[np.int64]:
    """Choose samples as anchors by their old embeddings.

    Args:
        x: embeddings (rows, width), as for ``ms.align``.
        n: how many.
        how: "random"; "k-means", the sample nearest to each centre; or "farthest", each the one that is farthest from
            all before it, by Euclidean distance. The last two look at 20,000 rows at most, drawn first.
        seed: of the draws.

    Returns:
        Places of rows, (n,), in the order in which they are chosen: of "random" and "farthest" a longer choice begins
        with a shorter one.

    Raises:
        ArrayError: fewer rows than anchors, or another way of choosing.

    Examples:
        >>> x = torch.randn(200, 8)
        >>> few, more = (ms.arrays.anchors(x, n, "farthest") for n in (10, 20))
        >>> bool((more[:10] == few).all())
        True
    """
    rows = vectors(x, "the embeddings")
    return chosen(rows_of(rows), np.arange(len(rows)) if rows.at is None else rows.at, n, how, seed=seed)


def rows_of(rows: Vectors) -> RowsAt:
    """What ``chosen`` looks at, of embeddings that are there."""
    return lambda ids: rows.only(ids).all()


def chosen(look: RowsAt, among: NDArray[np.int64], n: int, how: str, *, seed: int) -> NDArray[np.int64]:
    """Choose among some samples, given by their places.

    Args:
        look: gives the rows (k, width) of samples by their places (k,); "random" looks at none.
        among: the places.
        n, how, seed: as of ``anchors``.

    Raises:
        ArrayError: as ``anchors``.
    """
    if how not in HOWS:
        raise ArrayError(f"There is no way {how!r} of choosing anchors: expected one of {', '.join(HOWS)}.")
    if not 1 <= n <= len(among):
        raise ArrayError(f"{len(among):,} samples cannot give {n:,} anchors: expected 1 to as many; ask for fewer.")
    generator = np.random.default_rng(seed)
    order = generator.permutation(among)
    if how == "random":
        return order[:n]
    seen = np.sort(order[: max(n, _MOST)])
    x = look(seen)
    places = _farthest(x, n) if how == "farthest" else _centres(x, n, seed)
    return seen[places]


def _farthest(x: NDArray[Any], n: int) -> NDArray[np.int64]:
    """Each the row that is farthest from all before it; the first is the farthest from the mean (Gonzalez 1985)."""
    far = np.square(x - x.mean(0)).sum(1)
    found: list[int] = []
    nearest = np.full(len(x), np.inf)
    for _ in range(n):
        found.append(int(far.argmax()))
        nearest = np.minimum(nearest, np.square(x - x[found[-1]]).sum(1))
        nearest[found] = -1.0  # an equal row is no second anchor before all others are
        far = nearest
    return np.array(found)


def _centres(x: NDArray[Any], n: int, seed: int) -> NDArray[np.int64]:
    """The row nearest to each centre of k-means, none twice."""
    from sklearn.cluster import MiniBatchKMeans

    centres = MiniBatchKMeans(n, random_state=seed, n_init=1, batch_size=max(1024, 4 * n)).fit(x).cluster_centers_
    taken = np.zeros(len(x), bool)
    found = []
    for centre in centres:
        away = np.square(x - centre).sum(1)
        away[taken] = np.inf
        found.append(int(away.argmin()))
        taken[found[-1]] = True
    return np.array(found)
