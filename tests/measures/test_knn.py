"""Mutual nearest neighbours against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from problems import related
from sklearn.neighbors import NearestNeighbors

from modelstitch import measures as s

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
