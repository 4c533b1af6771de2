"""A measure from the sums of one pass equals the measure from the activations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from problems import problem, related

from modelstitch.errors import MeasureError, NonFiniteError
from modelstitch.measures import MEASURES
from modelstitch.moments.moments import Moments

LINEAR = [measure for measure in MEASURES.values() if measure.from_moments is not None]
NAMES = [
    "ordinary",
    "unrelated",
    "offset 1e3",
    "rank deficient",
    "constant features",
    "duplicated rows",
    "four examples",
]


def test_which_measures_need_only_moments():
    assert {measure.name for measure in MEASURES.values()} - {measure.name for measure in LINEAR} == {
        "cka_linear_debiased",
        "cka_minibatch",
        "cka_rbf",
        "rsa",
        "mutual_knn",
        "jaccard_knn",
        "rank_knn",
        "distance_correlation",
        "soft_matching",
        "procrustes_permutation",
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("measure", LINEAR, ids=lambda measure: measure.name)
def test_moments_equal_activations(measure, name):
    for seed in range(2):
        x, y = (torch.from_numpy(side) for side in problem(name, seed))
        moments = Moments.empty(x.shape[1], y.shape[1])
        for rows in torch.arange(len(x)).split(7):
            moments.update(x[rows], y[rows])
        # A quarter of a rounding of the squares shows as its root in an angle near 0.
        assert measure.from_moments(moments) == pytest.approx(measure(x, y), abs=1e-6)


@pytest.mark.parametrize("widths", [(8, 6), (40, 30)])
@pytest.mark.parametrize("measure", LINEAR, ids=lambda measure: measure.name)
def test_float32_moments_come_close(measure, widths):
    x, y = (torch.from_numpy(side) for side in related(np.random.default_rng(0), 500, *widths))
    found = measure.from_moments(Moments.of(x, y, dtype=torch.float32))
    assert found == pytest.approx(measure(x, y), abs=1e-4)
    alike = measure.from_moments(Moments.of(x, x, dtype=torch.float32))
    assert alike == pytest.approx(measure.self_value, abs=2e-3)


@pytest.mark.parametrize("measure", LINEAR, ids=lambda measure: measure.name)
def test_refusals(measure):
    x, y = (torch.from_numpy(side) for side in problem("ordinary", 0))
    with pytest.raises(MeasureError, match=f"{measure.name} needs at least 3 examples, found 2"):
        measure.from_moments(Moments.of(x[:2], y[:2]))
    with pytest.raises(MeasureError, match="at least one feature of the bottom that differs"):
        measure.from_moments(Moments.of(torch.full_like(x, 0.1), y))
    with pytest.raises(MeasureError, match="at least one feature of the top that differs"):
        measure.from_moments(Moments.of(x, torch.zeros_like(y)))
    broken = Moments.of(x, y)
    broken.xy[0, 0] = float("nan")
    with pytest.raises(NonFiniteError, match="NaN or infinity in the moments"):
        measure.from_moments(broken)
