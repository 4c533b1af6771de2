"""CCA and SVCCA against the whitened cross-covariance and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from problems import related
from sklearn.decomposition import PCA

from modelstitch import measures as s

SEEDS = range(4)


def pair(seed, n=60, p=6, q=6):
    return related(np.random.default_rng(seed), n, p, q)


@pytest.mark.parametrize("seed", SEEDS)
def test_cca_is_the_svd_of_the_whitened_cross_covariance(seed):
    x, y = pair(seed, q=4)
    rho = canonical(x, y)
    assert s.cca_mean(x, y) == pytest.approx(rho.mean(), abs=1e-10)
    assert s.cca_mean_squared(x, y) == pytest.approx((rho**2).mean(), abs=1e-10)


@pytest.mark.parametrize("seed", SEEDS)
def test_svcca_is_cca_of_scikit_learns_components(seed):
    r = np.random.default_rng(seed)
    x, y = pair(seed)
    x, y = x * np.logspace(0, -3, 6), y @ r.normal(size=(6, 9)) * np.logspace(0, -3, 9)
    a, b = (PCA(n_components=0.99, svd_solver="full").fit_transform(side) for side in (x, y))
    assert a.shape[1] < 6
    assert b.shape[1] < 6
    assert s.svcca(x, y) == pytest.approx(canonical(a, b).mean(), abs=1e-10)


def canonical(x, y):
    x, y = x - x.mean(0), y - y.mean(0)
    white = [scipy.linalg.inv(scipy.linalg.sqrtm(side.T @ side).real) for side in (x, y)]
    return np.linalg.svd(white[0] @ x.T @ y @ white[1], compute_uv=False)
