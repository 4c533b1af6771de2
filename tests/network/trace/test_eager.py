"""Random numbers that a module may draw: their states kept, and states that make rare draws show."""

import random

import numpy as np
import pytest
import torch

from modelstitch.network.trace.eager import SOURCES, rng_kept, set_rng, states


def draws():
    return random.random(), np.random.rand(), float(torch.rand(1))


def test_what_is_drawn_afterwards_is_what_would_have_been_drawn():
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    wanted = draws()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    with rng_kept():
        assert draws() == wanted
        set_rng(dict.fromkeys(SOURCES, True))
    assert draws() == wanted


def test_also_after_an_error():
    before = states()
    with pytest.raises(ZeroDivisionError), rng_kept():
        1 / (draws()[0] * 0)
    assert states() == before


def test_uniform_numbers_are_near_their_ends():
    with rng_kept():
        set_rng(dict.fromkeys(SOURCES, False))
        assert max(draws()) < 0.05
        set_rng(dict.fromkeys(SOURCES, True))
        assert min(draws()) > 0.95
        set_rng({SOURCES[0]: True, SOURCES[1]: False, SOURCES[2]: True})
        low = draws()
        assert low[0] > 0.95
        assert low[1] < 0.05
        assert low[2] > 0.95


@pytest.mark.parametrize("high", [False, True])
def test_draws_that_are_made_anew_until_they_suit_come_to_an_end(high):
    with rng_kept():
        set_rng(dict.fromkeys(SOURCES, high))
        assert len(random.sample(range(100), 50)) == 50
        assert random.randrange(3) in range(3)
        assert np.random.normal(size=100).shape == (100,)
        assert sorted(np.random.permutation(30)) == list(range(30))


@pytest.mark.parametrize("at", range(3))
def test_the_source_that_was_drawn_from_is_told(at):
    with rng_kept():
        before = states()
        (random.random, np.random.rand, lambda: torch.rand(1))[at]()
        after = states()
    assert [name for name in SOURCES if before[name] != after[name]] == [SOURCES[at]]
