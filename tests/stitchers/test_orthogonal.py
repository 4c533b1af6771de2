"""Rotations and permutations against scipy, scaled ones against all assignments."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.optimize import linear_sum_assignment

import modelstitch as ms
from stitchers.closed_forms import centred, mse, predict, sides, solve

pytestmark = pytest.mark.usefixtures("double")


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


WIDTHS = [(4, 4), (3, 6), (6, 3)]


def padded(a, width):
    return np.pad(a, ((0, 0), (0, width - a.shape[1])))


@pytest.mark.parametrize(("p", "q"), WIDTHS)
def test_unequal_widths_are_those_of_the_narrower_side_padded_with_zeros(p, q):
    x, y = sides(p, q)
    a, b = centred(x, y)
    wide = max(p, q)
    rotation, _ = orthogonal_procrustes(padded(a, wide), padded(b, wide))
    turned = (padded(a, wide) @ rotation)[:, :q]
    stitcher = solve("orthogonal", x, y)
    np.testing.assert_allclose(predict(stitcher, x), turned + y.mean(0), atol=1e-9)
    weight = stitcher.weight.numpy()
    gram = weight @ weight.T if q <= p else weight.T @ weight
    np.testing.assert_allclose(gram, np.eye(min(p, q)), atol=1e-12)
    scale = (turned * b).sum() / np.square(turned).sum()
    np.testing.assert_allclose(predict(solve("scaled-orthogonal", x, y), x), scale * turned + y.mean(0), atol=1e-9)
    assert stitcher.parameter_count == {(4, 4): 6 + 4, (3, 6): 12 + 6, (6, 3): 12 + 3}[p, q]


@pytest.mark.parametrize(("p", "q"), WIDTHS)
def test_l_ortho_is_the_rotation_nearest_to_least_squares(p, q):
    x, y = sides(p, q)
    a, b = centred(x, y)
    u, _, vt = np.linalg.svd(np.linalg.lstsq(a, b, rcond=None)[0], full_matrices=False)
    np.testing.assert_allclose(predict(solve("l-ortho", x, y), x), a @ u @ vt + y.mean(0), atol=1e-4)
    w = ms.align(x, y, "l-ortho:0")  # without the ridge
    np.testing.assert_allclose(w.transform(x), a @ u @ vt + y.mean(0), atol=1e-9)


@pytest.mark.parametrize(("p", "q"), WIDTHS)
def test_standard_orthogonal_turns_standardised_channels(p, q):
    x, y = sides(p, q)
    wide = max(p, q)
    a, b = ((side - side.mean(0)) / side.std(0) for side in (x, y))
    rotation, _ = orthogonal_procrustes(padded(a, wide), padded(b, wide))
    wanted = (padded(a, wide) @ rotation)[:, :q] * y.std(0) + y.mean(0)
    np.testing.assert_allclose(predict(solve("standard-orthogonal", x, y), x), wanted, atol=1e-9)
