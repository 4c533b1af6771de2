"""What code and hooks reach holds afterwards what it held before."""

import functools
from collections import deque

import numpy as np
import pytest
import torch
from torch import nn

from modelstitch.network.trace.kept import Reach, owners_kept

COUNT = 0
SEEN = []


class Net(nn.Module):
    calls = 0

    def forward(self, x):
        global COUNT
        COUNT += 1
        Net.calls += 1
        SEEN.append(x)
        return x


def test_globals_lists_and_attributes_of_the_class_come_back():
    module = Net()
    before = list(SEEN)
    with owners_kept(module):
        module(torch.zeros(1))
        assert COUNT == 1
        assert len(SEEN) == len(before) + 1
    assert COUNT == 0
    assert Net.calls == 0
    assert before == SEEN


def test_also_after_an_error_and_the_default_type_too():
    module = Net()
    with pytest.raises(RuntimeError, match="stop"), owners_kept(module):
        stopped(module)
    assert COUNT == Net.calls == 0
    assert torch.get_default_dtype() == torch.float32


def stopped(module):
    torch.set_default_dtype(torch.float64)
    module(torch.zeros(1))
    raise RuntimeError("stop")


def collector():
    held, array, total, last = {"a": [1]}, np.zeros(2), 0, deque([1])

    @functools.lru_cache
    def kept(x):
        return x

    def hook(*_):
        nonlocal total
        total += 1
        held["a"].append(2)
        held["b"] = 3
        array[0] = 7
        last.append(5)
        kept(4)
        return total, held, array.tolist(), list(last), kept.cache_info().currsize

    return hook


def test_what_a_hook_closes_over_comes_back():
    hook = collector()
    reach = Reach([hook])
    first = hook()
    assert first[0] == 1
    reach.put_back()
    assert hook() == (1, {"a": [1, 2], "b": 3}, [7.0, 0.0], [1, 5], 1)


def test_blank_takes_out_what_was_put_in():
    def hook(store, **_):
        store.append(1)

    store = [5]
    reach = Reach([functools.partial(hook, store)])
    hook(store)
    reach.blank()
    assert store == []
    reach.put_back()
    assert store == [5]


def test_tensors_that_could_be_written_into_are_told():
    held = torch.zeros(3)

    def hook(*_):
        return held

    assert any(t is held for t in Reach([hook]).tensors)
