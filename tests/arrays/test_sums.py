"""The sums of one pass against float64, and what an error leaves of them."""

import numpy as np
import pytest
import torch

from modelstitch.arrays.given import Vectors
from modelstitch.arrays.sums import PairSums
from modelstitch.errors import ArrayError
from modelstitch.moments.moments import Moments

P, Q = 12, 8


def sides(n=3000, *, mean=0.0, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    old = rng.normal(size=(n, P)) * np.geomspace(1e-3, 1e3, P)
    new = old @ rng.normal(size=(P, Q)) / 1e3 + rng.normal(size=(n, Q))
    return tuple(Vectors((side + mean * side.std(0)).astype(dtype), "rows") for side in (old, new))


def summed(*parts, both=True, **options):
    sums = PairSums.empty(P, Q, both=both)
    for old, new in parts:
        sums.add(old, new, **options)
    return sums


def exact(old, new):
    return Moments.of(*(torch.from_numpy(side.values.astype(np.float64)) for side in (old, new)))


def off(found, wanted):
    """The largest error of a sum, each in units of both its columns' spread."""
    x, y = wanted.xx.diagonal().sqrt(), wanted.yy.diagonal().sqrt()
    pairs = ("xx", x, x), ("xy", x, y), ("yy", y, y)
    return max(float(((getattr(found, k) - getattr(wanted, k)) / torch.outer(a, b)).abs().max()) for k, a, b in pairs)


@pytest.mark.parametrize("mean", [0.0, 0.4, 1.5, 30.0, 1e4])
def test_single_precision_is_good_to_a_millionth_whatever_the_mean(mean):
    old, new = sides(mean=mean)
    found, wanted = summed((old, new)).moments, exact(old, new)
    assert off(found, wanted) < 2e-6
    assert torch.allclose(found.mean_x, wanted.mean_x, rtol=1e-5, atol=1e-6)


def test_blocks_add_up(monkeypatch):
    monkeypatch.setattr("modelstitch.arrays.given._BLOCK", 1500 * P * 4)
    near, far = sides(), sides(mean=50.0, seed=1)
    old, new = (Vectors(np.concatenate([a.values, b.values]), "rows") for a, b in zip(near, far))
    assert off(summed((old, new)).moments, exact(old, new)) < 2e-6
    assert off(summed(near, far).moments, exact(old, new)) < 2e-6
    assert summed(near, far).samples == 6000


def test_products_of_the_new_side_are_summed_where_they_are_asked_for():
    old, new = sides()
    assert summed((old, new), both=False).moments.yy.numel() == 0
    assert torch.equal(summed((old, new), both=False).moments.xy, summed((old, new)).moments.xy)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("row", [0, 2999])
def test_an_error_leaves_the_sums_as_they_were(value, row, monkeypatch):
    monkeypatch.setattr("modelstitch.arrays.given._BLOCK", 1500 * P * 4)
    old, new = sides()
    sums = summed((old, new))
    before = sums.tensors()
    bad = old.values.copy()
    bad[row, 5] = value
    with pytest.raises(ArrayError, match=f"in row {row:,}, column 5"):
        sums.add(Vectors(bad, "rows"), new)
    assert all(torch.equal(before[name], value) for name, value in sums.tensors().items())
    assert sums.samples == 3000


def test_sums_that_overflow_are_refused():
    old, new = sides()
    with pytest.raises(ArrayError, match="so large that their sums are inf"):
        summed((Vectors(old.values * np.float32(1e30), "rows"), new))


def test_they_are_kept_by_name():
    sums = summed(sides(), directions=True)
    again = PairSums.of(sums.tensors(), sums.moments.n, sums.samples)
    assert all(torch.equal(a, b) for a, b in zip(again.tensors().values(), sums.tensors().values()))
    assert (again.samples, again.notes()) == (sums.samples, sums.notes())
    assert float(sums.lengths.min()) > 0
