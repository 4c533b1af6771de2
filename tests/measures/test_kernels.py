"""A measure as n x n matrices equals the measure, also under a shuffled pairing; ids are compared."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from problems import problem, related

from modelstitch.errors import MeasureError
from modelstitch.measures import MEASURES, evaluate, null_level
from modelstitch.measures.checks import pair
from modelstitch.measures.kernels import KERNELS
from modelstitch.moments.null import derangement

CASES = ["ordinary", "offset 1e3", "duplicated rows", "many ties", "fewer examples than features", "constant features"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", KERNELS)
def test_matrices_equal_the_measure_under_any_pairing(name, case):
    x, y = (torch.from_numpy(side) for side in problem(case, 1))
    a, b = (KERNELS[name].prepare(side, "X") for side in pair(x, y, measure=name, needed=4))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    assert KERNELS[name].value(a, b, name) == pytest.approx(MEASURES[name](x, y), abs=1e-9)
    assert KERNELS[name].value(a, b, name, order) == pytest.approx(MEASURES[name](x, y[order]), abs=1e-9)


@pytest.mark.parametrize("name", KERNELS)
def test_the_null_level_is_that_of_the_plain_measure(name):
    x, y = related(np.random.default_rng(0), 40, 30, 5)
    generator = torch.Generator().manual_seed(3)
    plain = [MEASURES[name](x, y[derangement(40, generator).numpy()]) for _ in range(6)]
    found = null_level(name, x, y, n=6, seed=3)
    assert found.mean == pytest.approx(np.mean(plain), abs=1e-9)
    assert found.low == pytest.approx(np.quantile(plain, 0.05), abs=1e-9)
    assert found.high == pytest.approx(np.quantile(plain, 0.95), abs=1e-9)


def test_debiased_matrices_refuse_equal_distances():
    with pytest.raises(MeasureError, match="unbiased HSIC of X with itself is 0"):
        KERNELS["cka_linear_debiased"].prepare(pair(np.eye(14), np.eye(14), measure="m", needed=4)[0], "X")


def test_other_examples_and_orders_are_refused():
    x, y = related(np.random.default_rng(0), 30, 4, 5)
    ids = torch.arange(30)
    assert evaluate(x, y, ["cka"], ids=(ids, list(range(30))), shuffles=0)
    swapped = ids.clone()
    swapped[[4, 9]] = ids[[9, 4]]
    with pytest.raises(MeasureError, match=r"A and B hold examples in different orders: .* found 4 and 9 in row 4"):
        evaluate(x, y, ["cka"], ids=(ids, swapped), names=("A", "B"))
    with pytest.raises(MeasureError, match="X and Y hold different examples: expected the same ids, found 30 and 29"):
        evaluate(x, y, ["cka"], ids=(ids, ids[1:]))
    words = [f"image {i}" for i in range(30)]
    assert evaluate(x, y, ["cka"], ids=(words, np.array(words)), shuffles=0)
    with pytest.raises(MeasureError, match="found 'image 29' in X alone; keep those that both have"):
        evaluate(x, y, ["cka"], ids=(words, [*words[:-1], "image 30"]))
