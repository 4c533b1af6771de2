"""CKA against scikit-learn, and what its estimators promise on average."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.spatial
import torch
from problems import related
from sklearn.metrics.pairwise import rbf_kernel

from modelstitch import measures as s
from modelstitch.measures.cka import debiased_from_moments, linear_cka_debiased
from modelstitch.moments.moments import Moments

SEEDS = range(4)


def pair(seed, n=60, p=6, q=6):
    return related(np.random.default_rng(seed), n, p, q)


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


@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_the_unbiased_from_sums_is_that_of_the_rows(offset, scale):
    x = scale * (torch.randn(60, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + offset)
    y = x.square() / scale @ torch.ones(5, 4, dtype=torch.float64) + scale * torch.randn(60, 4, dtype=torch.float64)

    def beside(rows):
        base = rows[:9].mean(0)
        return torch.cat([rows, (rows - base).square().sum(1, keepdim=True)], 1), base

    (left, base_x), (right, base_y) = beside(x), beside(y)
    found = debiased_from_moments(Moments.of(left, right), base_x, base_y)
    assert found == pytest.approx(linear_cka_debiased(x, y), abs=1e-9)
