"""Centred sums whose shared rows are summed once, against numpy."""

import numpy as np
import torch

from modelstitch.moments.beside import Sums

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
