"""Values stand beside their null level."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from problems import related

from modelstitch.errors import MeasureError
from modelstitch.measures import ALIASES, MEASURES, evaluate, find, null_level

X, Y = related(np.random.default_rng(0), 80, 4, 5)
Z = np.random.default_rng(1).normal(size=(80, 5))


@pytest.mark.parametrize("name", MEASURES)
def test_related_sides_are_beyond_the_null_level(name):
    (result,) = evaluate(X, Y, [name])
    assert result.name == name
    assert result.value == MEASURES[name](X, Y)
    assert result.null_low <= result.null_mean <= result.null_high
    assert result.beyond_null


def test_unrelated_sides_are_not():
    beyond = [result.beyond_null for result in evaluate(X, Z)]
    assert sum(beyond) <= 2


def test_the_null_level_is_the_mean_over_permutations():
    # With one feature a side, R^2 under a random pairing is 1 / (n - 1) on average.
    null = null_level("r2", X[:, :1], Y[:, :1], n=2000)
    assert null.mean == pytest.approx(1 / 79, rel=0.1)
    assert null.high == pytest.approx(3.84 / 79, rel=0.2)


def test_the_null_level_is_the_seeds():
    assert null_level("cka", X, Y, seed=3) == null_level("cka", X, Y, seed=3)
    assert null_level("cka", X, Y, seed=3) != null_level("cka", X, Y, seed=4)
    assert null_level("cka", X, Y).mean == null_level("cka", torch.from_numpy(X), torch.from_numpy(Y)).mean


def test_random_state_and_arguments_are_left_alone():
    state, x, y = torch.get_rng_state(), X.copy(), Y.copy()
    evaluate(X, Y)
    assert torch.equal(state, torch.get_rng_state())
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)


def test_without_shuffles_there_is_no_null_level():
    (result,) = evaluate(X, Y, ["cka"], shuffles=0)
    assert (result.null_mean, result.null_high, result.beyond_null) == (None, None, None)
    with pytest.raises(MeasureError, match="at least one shuffle, found n=0"):
        null_level("cka", X, Y, n=0)


def test_aliases_name_measures():
    assert [find(alias).name for alias in ALIASES] == list(ALIASES.values())
    assert find(MEASURES["rsa"]) is MEASURES["rsa"]
