"""The share of variance explained against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from problems import related
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from modelstitch import measures as s

SEEDS = range(4)


def pair(seed, n=60, p=6, q=6):
    return related(np.random.default_rng(seed), n, p, q)


@pytest.mark.parametrize("seed", SEEDS)
def test_r2_is_scikit_learns(seed):
    x, y = pair(seed)
    for found, (source, target) in ((s.r2_bottom_to_top(x, y), (x, y)), (s.r2_top_to_bottom(x, y), (y, x))):
        predicted = LinearRegression().fit(source, target).predict(source)
        assert found == pytest.approx(r2_score(target, predicted, multioutput="variance_weighted"), abs=1e-10)
    one = LinearRegression().fit(x, y[:, 0]).score(x, y[:, 0])
    assert s.r2_bottom_to_top(x, y[:, :1]) == pytest.approx(one, abs=1e-10)
