"""Values of pairs of layers under a pairing equal those of the measure on moved rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from problems import related

from modelstitch.errors import MeasureError
from modelstitch.measures import MEASURES, Measure, find
from modelstitch.measures.pairings import values_under

NAMES = (["x0", "x1"], ["y0"])


def sides(n=60, p=4, q=5):
    (a, y), (b, _) = (related(np.random.default_rng(seed), n, p, q) for seed in (0, 1))
    return [torch.from_numpy(a), b], [y]


@pytest.mark.parametrize("rough", [False, True])
@pytest.mark.parametrize("name", ["cka_linear_biased", "cka_linear_debiased", "rsa", "r2_bottom_to_top"])
def test_each_pairing_is_the_measure_of_moved_rows(name, rough):
    x, y = sides()
    of, measure = values_under(x, y, find(name), NAMES, rough=rough), MEASURES[name]
    for order in (None, torch.randperm(60, generator=torch.Generator().manual_seed(0)), torch.arange(60).flip(0)):
        moved = y[0] if order is None else y[0][order.numpy()]
        expected = [[measure(a, moved)] for a in x]
        assert of(order) == pytest.approx(np.array(expected), abs=1e-6 if rough else 1e-12)


def test_a_measure_of_ones_own_is_asked_each_time():
    x, y = sides()
    own = Measure("rsa", MEASURES["r2_bottom_to_top"].function, "similarity", "not rsa", "mine")
    assert values_under(x, y, own, NAMES)(None)[0, 0] == MEASURES["r2_bottom_to_top"](x[0], y[0])


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        ([torch.ones(9, 2), torch.rand(9, 2)], [torch.rand(9, 3)], "at least one feature of x0 that differs"),
        ([torch.rand(9, 2), torch.rand(8, 2)], [torch.rand(9, 3)], "as many rows in x1 as in x0, found 9 and 8"),
        ([torch.rand(9, 2), torch.eye(9)], [torch.rand(9, 3)], "unbiased HSIC of x1 with itself is 0"),
        ([torch.rand(3, 2), torch.rand(3, 2)], [torch.rand(3, 3)], "at least 4 examples, found 3"),
    ],
)
def test_a_layer_that_is_refused_is_named(x, y, words):
    with pytest.raises(MeasureError, match=words):
        values_under(x, y, find("cka_linear_debiased"), NAMES)
