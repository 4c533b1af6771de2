"""Representational similarity analysis against scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.spatial
import scipy.stats
from problems import related

from modelstitch import measures as s

SEEDS = range(4)


def pair(seed, n=60, p=6, q=6):
    return related(np.random.default_rng(seed), n, p, q)


@pytest.mark.parametrize("seed", SEEDS)
def test_rsa_is_spearman_of_scipys_distances(seed):
    x, y = pair(seed, q=4)
    a, b = (scipy.spatial.distance.pdist(side) for side in (x, y))
    assert s.rsa(x, y) == pytest.approx(scipy.stats.spearmanr(a, b).statistic, abs=1e-12)


def test_the_difference_is_that_of_gram_matrices_also_where_features_are_many():
    r = np.random.default_rng(0)
    x, y = r.normal(size=(9, 30)), r.normal(size=(9, 20))
    a, b = (side - side.mean(0) for side in (x, y))
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    assert s.rsm_difference(x, y) == pytest.approx(np.linalg.norm(a @ a.T - b @ b.T), abs=1e-12)
