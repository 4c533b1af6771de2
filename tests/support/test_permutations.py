"""A wrong pairing pairs nothing rightly."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from modelstitch.support.permutations import derangement


@given(st.integers(0, 60), st.integers(0, 2**40))
def test_nothing_keeps_its_place_and_nothing_is_lost(n, seed):
    order = derangement(n, torch.Generator().manual_seed(seed))
    assert sorted(order.tolist()) == list(range(n))
    assert n < 2 or not bool((order == torch.arange(n)).any())
