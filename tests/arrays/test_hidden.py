"""The steps of an MLP: what they gain, and that they never lose what they began with."""

import numpy as np
import pytest
import torch

from modelstitch.arrays.given import vectors
from modelstitch.arrays.hidden import improve
from modelstitch.moments.moments import Moments
from modelstitch.stitchers.base import Site
from modelstitch.stitchers.mlp import MLP


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    for name in ("FEWEST_STEPS", "MOST_STEPS"):
        monkeypatch.setattr(f"modelstitch.arrays.hidden.{name}", 200)


def started(x, y, seed=0):
    moments = Moments.of(torch.from_numpy(x), torch.from_numpy(y))
    return MLP.solve(moments, Site(x.shape[1], y.shape[1], "vector"), seed=seed, hidden=32)


def loss(mlp, x, y):
    with torch.no_grad():
        return float((mlp(torch.from_numpy(x)) - torch.from_numpy(y)).square().mean())


def data(n, bend):
    x = np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)
    return x, (np.abs(x) if bend else 2 * x + 1).astype(np.float32)


def test_steps_take_the_error_down_and_depend_on_the_seed_alone():
    x, y = data(600, bend=True)
    ends = [improve(started(x, y), vectors(x, "x"), vectors(y, "y"), None, seed=seed) for seed in (0, 0, 1)]
    one, same, other = (loss(mlp, x, y) for mlp in ends)
    assert one < 0.5 * loss(started(x, y), x, y)
    assert one == same != other


def test_the_affine_start_stays_where_nothing_is_better():
    x, y = data(200, bend=False)
    before = started(x, y)
    found = improve(started(x, y), vectors(x, "x"), vectors(y, "y"), None, seed=0)
    assert loss(found, x, y) <= loss(before, x, y) + 1e-9


def test_rows_of_weight_zero_are_not_learned():
    x, y = data(400, bend=True)
    y = y.copy()
    y[::2] = 100
    weights = torch.ones(400)
    weights[::2] = 0
    moments = Moments.of(torch.from_numpy(x), torch.from_numpy(y), weights=weights)
    mlp = MLP.solve(moments, Site(3, 3, "vector"), hidden=32)
    found = improve(mlp, vectors(x, "x"), vectors(y, "y"), weights, seed=0)
    assert loss(found, x[1::2], y[1::2]) < 0.3
