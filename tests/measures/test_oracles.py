"""The measures against scipy and scikit-learn, where those compute the same statistic."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.spatial
import scipy.stats
from problems import related
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import NearestNeighbors

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


@pytest.mark.parametrize("seed", SEEDS)
def test_rsa_is_spearman_of_scipys_distances(seed):
    x, y = pair(seed, q=4)
    a, b = (scipy.spatial.distance.pdist(side) for side in (x, y))
    assert s.rsa(x, y) == pytest.approx(scipy.stats.spearmanr(a, b).statistic, abs=1e-12)


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
def test_r2_is_scikit_learns(seed):
    x, y = pair(seed)
    for found, (source, target) in ((s.r2_bottom_to_top(x, y), (x, y)), (s.r2_top_to_bottom(x, y), (y, x))):
        predicted = LinearRegression().fit(source, target).predict(source)
        assert found == pytest.approx(r2_score(target, predicted, multioutput="variance_weighted"), abs=1e-10)
    one = LinearRegression().fit(x, y[:, 0]).score(x, y[:, 0])
    assert s.r2_bottom_to_top(x, y[:, :1]) == pytest.approx(one, abs=1e-10)


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


@pytest.mark.parametrize("seed", SEEDS)
def test_rbf_cka_is_made_of_scikit_learns_kernels(seed):
    x, y = pair(seed)
    h = np.eye(60) - 1 / 60
    k, l = (h @ kernel(side, 0.5) @ h for side in (x, y))  # noqa: E741
    expected = (k * l).sum() / np.sqrt((k * k).sum() * (l * l).sum())
    assert s.rbf_cka(x, y, fraction=0.5) == pytest.approx(expected, abs=1e-12)


def kernel(x, fraction):
    width = fraction * np.median(scipy.spatial.distance.pdist(x))
    return rbf_kernel(x, gamma=1 / (2 * width**2))


def test_debiased_cka_is_unbiased_where_the_biased_is_not():
    r = np.random.default_rng(0)
    pairs = [(r.normal(size=(30, 200)), r.normal(size=(30, 200))) for _ in range(40)]
    assert np.mean([s.linear_cka(x, y) for x, y in pairs]) > 0.8
    assert abs(np.mean([s.linear_cka_debiased(x, y) for x, y in pairs])) < 0.02


def test_minibatches_agree_with_the_whole_on_average():
    x, y = pair(0, n=4000)
    assert s.minibatch_cka(x, y, batch=50) == pytest.approx(s.linear_cka_debiased(x, y), abs=0.01)
