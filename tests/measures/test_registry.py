"""The fast measures equal the slow reference, or both refuse, over a table of problems and seeds."""

from __future__ import annotations

import pytest
import references
from problems import PROBLEMS, problem
from references import REFERENCES

from modelstitch.errors import MeasureError
from modelstitch.measures import MEASURES, minibatch_cka, mutual_knn, rbf_cka

SEEDS = range(3)
# 22 measures x 19 problems x 3 seeds = 1,254 comparisons, one test for each measure and problem.
# The only refusals: refusing more would pass otherwise.
TOO_FEW = {"four examples", "four examples, wide"}
SATURATED = {"fewer examples than features", "four examples, wide", "equal distances"}
WIDE_TOP = {"fewer examples than one side's features"}
REFUSED = {
    "cka_linear_debiased": {"equal distances"},
    "cka_minibatch": {"equal distances"},
    "cca_mean_squared": SATURATED | WIDE_TOP,
    "cca_mean": SATURATED | WIDE_TOP,
    "svcca": {"four examples, wide", "equal distances"},
    "pwcca": SATURATED | WIDE_TOP | {"shared features", "nearly as many features as examples"},
    "r2_bottom_to_top": SATURATED,
    "r2_top_to_bottom": SATURATED - {"equal distances"} | WIDE_TOP,
    "rsa": {"equal distances"},
    "mutual_knn": TOO_FEW,
    "jaccard_knn": TOO_FEW,
    "rank_knn": TOO_FEW,
    "distance_correlation": set(),
}


def test_every_measure_has_a_reference():
    assert set(REFERENCES) == set(MEASURES)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("measure", MEASURES)
def test_fast_equals_reference(measure, name):
    for seed in SEEDS:
        x, y = problem(name, seed)
        if name in REFUSED.get(measure, ()):
            with pytest.raises(MeasureError):
                REFERENCES[measure](x, y)
            with pytest.raises(MeasureError):
                MEASURES[measure](x, y)
        else:
            assert MEASURES[measure](x, y) == pytest.approx(REFERENCES[measure](x, y), abs=1e-6, nan_ok=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize(
    ("fast", "slow", "setting"),
    [
        (mutual_knn, references.mutual_knn, {"k": 1}),
        (mutual_knn, references.mutual_knn, {"k": 2}),
        (minibatch_cka, references.cka_minibatch, {"batch": 4}),
        (minibatch_cka, references.cka_minibatch, {"batch": 7}),
        (rbf_cka, references.cka_rbf, {"fraction": 0.2}),
    ],
)
def test_settings_equal_reference(fast, slow, setting, name):
    for seed in SEEDS:
        x, y = problem(name, seed)
        try:
            expected = slow(x, y, **setting)
        except MeasureError:
            with pytest.raises(MeasureError):
                fast(x, y, **setting)
            continue
        assert fast(x, y, **setting) == pytest.approx(expected, abs=1e-6)
