"""Mutual nearest neighbours against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from problems import related
from sklearn.neighbors import NearestNeighbors

from modelstitch import measures as s
from modelstitch.errors import MeasureError

SEEDS = range(4)


def pair(seed, n=60, p=6, q=6):
    return related(np.random.default_rng(seed), n, p, q)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("k", [1, 5, 10])
def test_knn_is_scikit_learns(seed, k):
    x, y = pair(seed)
    near = [set_of(NearestNeighbors(n_neighbors=k).fit(side)) for side in (x, y)]
    expected = np.mean([len(a & b) / k for a, b in zip(*near)])
    assert s.mutual_knn(x, y, k=k) == pytest.approx(expected, abs=1e-12)


def set_of(fitted):
    # Without an argument, scikit-learn leaves out the example itself.
    return [set(row) for row in fitted.kneighbors(return_distance=False)]


@pytest.mark.parametrize("seed", SEEDS)
def test_jaccard_is_that_of_scikit_learns_neighbours(seed):
    x, y = pair(seed)
    near = [set_of(NearestNeighbors(n_neighbors=5).fit(side)) for side in (x, y)]
    assert s.jaccard_knn(x, y, k=5) == pytest.approx(np.mean([len(a & b) / len(a | b) for a, b in zip(*near)]))


def test_ranks_tell_an_order_that_membership_does_not():
    """On a line with gaps that grow to the right or to the left: the same two neighbours, in another order."""
    right = np.array([[0.0], [1.0], [2.5], [100.0], [101.0], [102.5]])
    left = np.array([[0.0], [1.5], [2.5], [100.0], [101.5], [102.5]])
    assert s.mutual_knn(right, left, k=2) == s.jaccard_knn(right, left, k=2) == 1
    assert s.rank_knn(right, right, k=2) == pytest.approx(1)
    # the middle ones swap ranks 1 and 2: 2 / (2 * 3) twice, over 1 + 1 / 2
    assert s.rank_knn(right, left, k=2) == pytest.approx((4 * 1 + 2 * (2 / 3) / 1.5) / 6)


@pytest.mark.parametrize("measure", [s.mutual_knn, s.jaccard_knn, s.rank_knn])
def test_no_neighbour_is_refused(measure):
    with pytest.raises(MeasureError, match=f"{measure.__name__} needs at least one neighbour, found k=0"):
        measure(*pair(0), k=0)
