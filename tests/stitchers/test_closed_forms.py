"""Every closed form against numpy and scipy in float64, and the ladder of families."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes
from scipy.optimize import linear_sum_assignment

from modelstitch.moments.moments import Moments
from modelstitch.stitchers import Site, family_of
from modelstitch.stitchers.lowrank import LowRank


@pytest.fixture(autouse=True)
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def sides(p, q, n=400, offset=5.0, noise=0.4, seed=0):
    r = np.random.default_rng([seed, p, q])
    x = r.normal(size=(n, p)) * r.uniform(0.3, 3, size=p) + offset
    y = np.maximum(x, offset) @ r.normal(size=(p, q)) / np.sqrt(p) + noise * r.normal(size=(n, q)) - offset
    return x, y


def solve(text, x, y):
    cls, options = family_of(text)
    site = Site(x.shape[1], y.shape[1], "vector")
    return cls.solve(Moments.of(torch.from_numpy(x), torch.from_numpy(y)), site, **options).eval()


def predict(stitcher, x):
    with torch.no_grad():
        return stitcher(torch.from_numpy(x)).numpy()


def mse(text, x, y):
    return float(np.square(predict(solve(text, x, y), x) - y).mean())


def affine(x, y):
    design = np.column_stack([x, np.ones(len(x))])
    return design @ np.linalg.lstsq(design, y, rcond=None)[0]


def centred(x, y):
    return x - x.mean(0), y - y.mean(0)


WIDTHS = [(5, 5), (4, 7), (9, 3), (1, 1)]


@pytest.mark.parametrize(("p", "q"), WIDTHS)
@pytest.mark.parametrize("text", ["affine:0", "norm-affine-norm", "mlp", "affine"])
def test_affine_is_least_squares(text, p, q):
    x, y = sides(p, q)
    # The default ridge, 1e-6 of the mean eigenvalue, is felt in the sixth digit.
    tolerance = 1e-9 if text == "affine:0" else 2e-5
    np.testing.assert_allclose(predict(solve(text, x, y), x), affine(x, y), atol=tolerance * y.std())


def test_affine_on_fewer_rows_than_channels_is_the_shortest_solution():
    x, y = sides(30, 3, n=12)
    np.testing.assert_allclose(predict(solve("affine:0", x, y), x), y, atol=1e-8)


def test_ridge_is_ridge_on_unit_variance_channels():
    x, y = sides(5, 4)
    a, b = centred(x, y)
    z = a / a.std(0)
    n = len(z)
    weight = np.linalg.solve(z.T @ z + 0.1 * n * np.eye(5), z.T @ b)  # the mean eigenvalue of z'z is n
    np.testing.assert_allclose(predict(solve("affine:0.1", x, y), x), z @ weight + y.mean(0), atol=1e-9)


@pytest.mark.parametrize("p", [1, 2, 6])
def test_orthogonal_is_scipys_procrustes(p):
    x, y = sides(p, p)
    a, b = centred(x, y)
    rotation, nuclear = orthogonal_procrustes(a, b)
    np.testing.assert_allclose(predict(solve("orthogonal", x, y), x), a @ rotation + y.mean(0), atol=1e-9)
    scale = nuclear / np.square(a).sum()
    np.testing.assert_allclose(
        predict(solve("scaled-orthogonal", x, y), x), scale * a @ rotation + y.mean(0), atol=1e-9
    )


@pytest.mark.parametrize("p", [1, 2, 6])
def test_permutation_is_scipys_assignment(p):
    x, y = sides(p, p)
    a, b = centred(x, y)
    above, below = linear_sum_assignment(-(b.T @ a))
    assert list(above) == list(range(p))
    np.testing.assert_allclose(predict(solve("permutation", x, y), x), a[:, below] + y.mean(0), atol=1e-9)


def test_scaled_permutation_is_the_best_of_all_assignments():
    from itertools import permutations

    x, y = sides(5, 5)
    a, b = centred(x, y)
    errors = []
    for order in permutations(range(5)):
        scale = np.maximum(0, (a[:, order] * b).sum(0)) / np.square(a[:, order]).sum(0)
        errors.append(np.square(a[:, order] * scale - b).mean())
    assert mse("scaled-permutation", x, y) == pytest.approx(min(errors), rel=1e-12)


def test_a_scaled_and_permuted_copy_is_found_exactly():
    r = np.random.default_rng(0)
    x = np.maximum(r.normal(size=(300, 8)), 0)
    y = (x * r.uniform(0.2, 5, size=8))[:, r.permutation(8)] + 3
    assert mse("scaled-permutation", x, y) < 1e-24
    assert mse("permutation", x, y) > 0.1


@pytest.mark.parametrize(("p", "q"), [(6, 6), (4, 7), (8, 3)])
def test_every_rank_is_the_truncated_prediction(p, q):
    x, y = sides(p, q)
    fitted = affine(x, y) - y.mean(0)
    u, s, vt = np.linalg.svd(fitted, full_matrices=False)
    moments = Moments.of(torch.from_numpy(x), torch.from_numpy(y))
    found = LowRank.solve_ranks(moments, Site(p, q, "vector"), ridge=0.0)
    assert list(found) == list(range(1, min(p, q) + 1))
    for rank, stitcher in found.items():
        wanted = (u[:, :rank] * s[:rank]) @ vt[:rank] + y.mean(0)
        np.testing.assert_allclose(predict(stitcher, x), wanted, atol=1e-8)
        assert stitcher.up.shape == (q, rank)
        alone = solve(f"low-rank:{rank}", x, y)
        np.testing.assert_allclose(predict(alone, x), wanted, atol=2e-5 * y.std())


LADDER = ["identity", "permutation", "orthogonal", "scaled-orthogonal", "affine"]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("offset", [0.0, 5.0])
def test_the_ladder_only_descends(seed, offset):
    x, y = sides(6, 6, offset=offset, seed=seed)
    errors = [mse(text, x, y) for text in LADDER]
    slack = 1e-6 * y.var()  # the default ridge
    assert all(low <= high + slack for high, low in pairwise(errors))
    assert errors[0] > errors[-1] + 0.1
    between = [mse(text, x, y) for text in ("permutation", "scaled-permutation", "affine")]
    assert between == sorted(between, reverse=True)
    ranks = [mse(f"low-rank:{rank}", x, y) for rank in range(1, 7)]
    assert all(low <= high + slack for high, low in pairwise(ranks))
    assert ranks[-1] == pytest.approx(errors[-1], abs=slack)


def test_collinear_channels_do_not_blow_the_weights_up():
    x, y = sides(5, 4)
    x[:, 4] = x[:, 0] + 1e-7 * np.random.default_rng(1).normal(size=len(x))
    largest = float(solve("affine", x, y).weight.detach().abs().max())
    plain = np.abs(np.linalg.lstsq(centred(x, y)[0], centred(x, y)[1], rcond=None)[0]).max()
    assert largest < 10
    assert plain > 1e3
