"""Procrustes measures against scipy, which computes the same statistics."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.spatial
from problems import related

from modelstitch import measures as s

SEEDS = range(4)


def pair(seed, n=60, p=6, q=6):
    return related(np.random.default_rng(seed), n, p, q)


def unit(x):
    x = x - x.mean(0)
    return x / np.linalg.norm(x)


@pytest.mark.parametrize("seed", SEEDS)
def test_procrustes_is_scipys(seed):
    x, y = pair(seed)
    _, cosine = scipy.linalg.orthogonal_procrustes(unit(x), unit(y))
    assert s.procrustes_similarity(x, y) == pytest.approx(cosine, abs=1e-12)
    # scipy.spatial's disparity also chooses the best scale: 1 - s^2.
    disparity = scipy.spatial.procrustes(x, y)[2]
    assert 1 - s.procrustes_similarity(x, y) ** 2 == pytest.approx(disparity, abs=1e-12)
