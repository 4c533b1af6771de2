"""Sums of a pair of layers, few columns or many, against the same sums in numpy."""

import numpy as np
import pytest
import torch

from modelstitch.errors import MeasureError, NonFiniteError
from modelstitch.moments.moments import Moments, Sums

WIDTHS = [(1, 1), (3, 8), (24, 24), (40, 70)]


@pytest.mark.parametrize(("p", "q"), WIDTHS)
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_batches_add_up_to_the_sums_of_all_rows(p, q, offset):
    generator = np.random.default_rng(p + q)
    x, y = generator.normal(size=(90, p)) + offset, generator.normal(size=(90, q)) - offset
    moments = Moments.empty(p, q)
    for start, stop in ((0, 1), (1, 40), (40, 90)):
        moments.update(torch.from_numpy(x[start:stop]), torch.from_numpy(y[start:stop]))
    cx, cy = x - x.mean(0), y - y.mean(0)
    expected = {"mean_x": x.mean(0), "mean_y": y.mean(0), "xx": cx.T @ cx, "yy": cy.T @ cy, "xy": cx.T @ cy}
    assert moments.n == 90
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(moments, name).numpy(), value, rtol=1e-10, atol=1e-8, err_msg=name)


@pytest.mark.parametrize(("p", "q"), [(3, 4), (40, 70)])
@pytest.mark.parametrize("side", ["bottom", "top"])
def test_what_is_not_finite_is_named_by_side(p, q, side):
    x, y = torch.ones(5, p), torch.ones(5, q)
    (x if side == "bottom" else y)[2, 1] = float("nan")
    with pytest.raises(NonFiniteError, match=f"The {side} activations at block1 hold NaN"):
        Moments.of(x, y, where="block1")


def test_rows_must_pair():
    with pytest.raises(MeasureError, match=r"same number of rows, found \(5, 2\) and \(4, 2\)"):
        Moments.of(torch.ones(5, 2), torch.ones(4, 2))


CPU = torch.device("cpu")


def batches(offset=0.0):
    rng = np.random.default_rng(0)
    return [(rng.normal(size=(n, 3)) + offset, rng.normal(size=(n, 4)) * 2 - offset) for n in (5, 1, 9)]


def summed(parts):
    shared = Sums(4, CPU)
    sides = [Sums(3, CPU, beside=shared), Sums(3, CPU, beside=shared)]
    for x, y in parts:
        shared.add(torch.from_numpy(y))
        sides[0].add(torch.from_numpy(x))
        sides[1].add(torch.from_numpy(2 * x + 1))
    return shared, sides


def test_sums_of_batches_are_those_of_all_rows_far_from_the_origin_too():
    for offset in (0.0, 1e5):
        parts = batches(offset)
        x, y = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        shared, (one, other) = summed(parts)
        a, b = x - x.mean(0), y - y.mean(0)
        assert one.n == shared.n == 15
        np.testing.assert_allclose(shared.mean, y.mean(0), rtol=1e-12)
        np.testing.assert_allclose(shared.own, b.T @ b, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(one.own, a.T @ a, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(one.cross, a.T @ b, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(other.own, 4 * (a.T @ a), rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(other.cross, 2 * (a.T @ b), rtol=1e-8, atol=1e-8)


def test_alone_there_are_no_cross_products():
    sums = Sums(3, CPU)
    sums.add(torch.ones(2, 3, dtype=torch.float64))
    assert sums.cross.numel() == 0
    assert not sums.own.any()


def test_weights_count_rows_as_often_as_they_say_and_one_side_may_be_left_out():
    x, y = (torch.from_numpy(side) for side in batches()[2])
    often = torch.tensor([0, 1, 2, 0, 3, 1, 1, 2, 1])
    weighted, repeated = Moments.empty(3, 4, both=False), Moments.of(*(s.repeat_interleave(often, 0) for s in (x, y)))
    for part in (slice(0, 4), slice(4, 9)):
        weighted.update(x[part], y[part], weights=often[part])
    assert weighted.n == repeated.n == 11
    assert weighted.yy.shape == (0, 0)
    for name in ("mean_x", "mean_y", "xx", "xy"):
        torch.testing.assert_close(getattr(weighted, name), getattr(repeated, name))
    assert (weighted + weighted).yy.shape == (0, 0)


def test_products_in_single_precision_add_up_in_double():
    x, y = torch.randn(4000, 30), torch.randn(4000, 30) + 5
    exact, quick = Moments.of(x, y), Moments.empty(30, 30)
    for part in (slice(0, 1500), slice(1500, 4000)):
        quick.update(x[part], y[part], dtype=torch.float32)
    assert quick.xy.dtype == torch.float64
    for name in ("xx", "yy", "xy"):
        assert float((getattr(quick, name) - getattr(exact, name)).abs().max()) < 1e-5 * 4000


def test_sides_may_be_exchanged():
    x, y = torch.randn(20, 3, dtype=torch.float64), torch.randn(20, 2, dtype=torch.float64)
    moments, other = Moments.of(x, y).turned(), Moments.of(y, x)
    for name in ("mean_x", "mean_y", "xx", "yy", "xy"):
        assert torch.allclose(getattr(moments, name), getattr(other, name))
