"""The affine closed form against numpy: least squares, the shortest solution, ridge, collinear channels."""

from __future__ import annotations

import numpy as np
import pytest

from modelstitch.support.fast import products
from stitchers.closed_forms import affine, centred, predict, sides, solve

pytestmark = pytest.mark.usefixtures("double")

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


@pytest.mark.parametrize("text", ["affine", "affine:0.1"])
def test_few_rows_of_a_wide_layer_are_solved_from_a_root_of_their_sums_alike(text, monkeypatch):
    x, y = sides(600, 3, n=100)
    found = predict(solve(text, x, y), x)
    monkeypatch.setattr(products, "WIDE", 10_000)
    np.testing.assert_allclose(found, predict(solve(text, x, y), x), atol=1e-7)


def test_ridge_is_ridge_on_unit_variance_channels():
    x, y = sides(5, 4)
    a, b = centred(x, y)
    z = a / a.std(0)
    n = len(z)
    weight = np.linalg.solve(z.T @ z + 0.1 * n * np.eye(5), z.T @ b)  # the mean eigenvalue of z'z is n
    np.testing.assert_allclose(predict(solve("affine:0.1", x, y), x), z @ weight + y.mean(0), atol=1e-9)


def test_collinear_channels_do_not_blow_the_weights_up():
    x, y = sides(5, 4)
    x[:, 4] = x[:, 0] + 1e-7 * np.random.default_rng(1).normal(size=len(x))
    largest = float(solve("affine", x, y).weight.detach().abs().max())
    plain = np.abs(np.linalg.lstsq(centred(x, y)[0], centred(x, y)[1], rcond=None)[0]).max()
    assert largest < 10
    assert plain > 1e3
