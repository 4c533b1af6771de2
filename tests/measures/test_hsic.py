"""Sums of Gram blocks equal the definitions, over the table of problems."""

from __future__ import annotations

import pytest
import torch
from problems import PROBLEMS, problem
from references import cka_linear_biased, cka_linear_debiased, cka_minibatch

from modelstitch.errors import MeasureError
from modelstitch.measures import linear_cka, linear_cka_debiased, minibatch_cka
from modelstitch.measures.hsic import FullSums, MinibatchSums
from modelstitch.support.fast.products import gram


def shifted(name, seed, dtype):
    """Rows as a pass hands them on: less the mean of the first few."""
    return [(torch.from_numpy(side) - torch.from_numpy(side)[:5].mean(0)).to(dtype) for side in problem(name, seed)]


def full(x, y, chunk, debiased, shuffle=None):
    sums = FullSums(len(x), ["x"], ["y"], shuffles=2)
    for i in range(0, len(x), chunk):
        for j in range(i, len(x), chunk):
            blocks = [gram(s[i : i + chunk], None if i == j else s[j : j + chunk])[None] for s in (x, y)]
            sums.add(i, j, *blocks)
    return sums.cka("x", "y", debiased=debiased, shuffle=shuffle), sums


@pytest.mark.slow
@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("seed", range(3))
def test_blocks_equal_the_whole(name, seed):
    for debiased, right in ((False, cka_linear_biased), (True, cka_linear_debiased)):
        x, y = shifted(name, seed, torch.float64)
        try:
            expected = right(*problem(name, seed))
        except MeasureError:
            with pytest.raises(MeasureError):
                full(x, y, 6, debiased)
            continue
        for chunk in (6, 40):
            assert full(x, y, chunk, debiased)[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("seed", range(3))
def test_minibatches_equal_their_reference(name, seed):
    x, y = shifted(name, seed, torch.float64)
    sums = MinibatchSums(["x"], ["y"])
    for start in range(0, len(x), 7):
        part = slice(start, start + 7)
        sums.update(gram(x[part])[None], gram(y[part])[None])
    try:
        expected = cka_minibatch(*problem(name, seed), batch=7)
    except MeasureError:
        with pytest.raises(MeasureError):
            sums.cka("x", "y")
        return
    assert sums.cka("x", "y") == pytest.approx(expected, abs=1e-6)
    assert minibatch_cka(*problem(name, seed), batch=7) == pytest.approx(expected, abs=1e-6)


def test_float32_rows_lose_nothing_that_counts():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 3000, generator=generator)
    y = x[:, :2000] + torch.randn(64, 2000, generator=generator) + 100
    for debiased, right in ((False, linear_cka), (True, linear_cka_debiased)):
        found, _ = full(x - x[:9].mean(0), y - y[:9].mean(0), 16, debiased)
        assert found == pytest.approx(right(x, y), abs=1e-7)


def test_shuffles_pair_examples_within_chunks_wrongly():
    x, y = shifted("ordinary", 0, torch.float64)
    _, sums = full(x, y, 10, False)
    for k in range(2):
        order = sums._orders[k]
        assert sorted(order.tolist()) == list(range(len(x)))
        assert sums.cka("x", "y", debiased=False, shuffle=k) == pytest.approx(linear_cka(x, y[order]), abs=1e-9)
        expected = linear_cka_debiased(x, y[order])
        assert sums.cka("x", "y", debiased=True, shuffle=k) == pytest.approx(expected, abs=1e-9)


def test_mistakes():
    with pytest.raises(MeasureError, match="cka_minibatch needs at least 4 examples in a minibatch"):
        MinibatchSums(["x"], ["y"]).cka("x", "y")
    with pytest.raises(MeasureError, match="cka_linear_debiased needs at least 4 examples, found 3"):
        FullSums(3, ["x"], ["y"]).cka("x", "y", debiased=True)
    flat = torch.ones(6, 3) * 1e-7
    sums = FullSums(6, ["x"], ["y"])
    sums.add(0, 0, gram(flat)[None], gram(torch.eye(6))[None])
    with pytest.raises(MeasureError, match="at least one feature of x that differs"):
        sums.cka("x", "y", debiased=False)
