"""Copies that share tensors or none, how they run, random numbers among them; modules out of their wrappers."""

import random
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from modelstitch.errors import NetworkError, TraceError
from modelstitch.network.trace.twin import (
    SOURCES,
    NoDropout,
    deep_copy,
    kind_of,
    make_twin,
    rng_kept,
    set_rng,
    states,
    unwrapped,
)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), nn.BatchNorm1d(3))
        self.table = [torch.zeros(2)]

    def forward(self, x):
        return self.body(x)


def test_the_twin_shares_every_tensor_and_is_in_eval_mode():
    module = Net().train()
    twin = make_twin(module)
    assert all(
        a is b
        for a, b in zip(
            module.state_dict(keep_vars=True).values(), twin.state_dict(keep_vars=True).values(), strict=True
        )
    )
    assert twin.table[0] is module.table[0]
    assert not any(part.training for part in twin.modules() if not isinstance(part, NoDropout))
    assert all(part.training for part in module.modules())


def test_dropout_is_taken_out_of_the_twin_alone():
    module = Net()
    twin = make_twin(module)
    assert isinstance(twin.body[1], NoDropout)
    assert kind_of(twin.body[1]) == "Dropout"
    assert twin.body[1].p == 0
    assert type(module.body[1]) is nn.Dropout
    x = torch.randn(4, 3)
    assert torch.equal(twin(x), module.eval()(x))


def test_dropout_that_does_something_else_stays():
    class Loud(nn.Dropout):
        def forward(self, x):
            return 2 * x

    module = nn.Sequential(Loud(0.5), nn.Dropout(0.5))
    module[1].register_forward_hook(lambda *_: None)
    twin = make_twin(module)
    assert kind_of(twin[0]) == "Loud"
    assert kind_of(twin[1]) == "Dropout"
    assert not isinstance(twin[1], NoDropout)


def test_frozen_parameters_are_others_of_the_same_memory():
    module = Net()
    twin = make_twin(module, frozen=True)
    for own, other in zip(module.parameters(), twin.parameters(), strict=True):
        assert other is not own
        assert other.data_ptr() == own.data_ptr()
        assert own.requires_grad
        assert not other.requires_grad


def test_what_cannot_be_copied_is_told():
    module = Net()
    module.lock = threading.Lock()
    with pytest.raises(
        TraceError,
        match=r"The network cannot be copied for tracing \(TypeError: .*\): expected a module that copy.deepcopy "
        r"accepts",
    ):
        make_twin(module)


def test_a_deep_copy_shares_nothing_also_of_what_is_computed():
    module = Net()
    prune.l1_unstructured(module.body[0], "weight", amount=1)
    module.kept = module.body[0].weight * 2  # no leaf: copy.deepcopy refuses it
    other = deep_copy(module)
    assert torch.equal(other.kept, module.kept)
    own = {t.data_ptr() for t in (*module.parameters(), *module.buffers(), module.kept)}
    assert own.isdisjoint({t.data_ptr() for t in (*other.parameters(), *other.buffers(), other.kept)})


def test_a_module_is_itself():
    module = nn.Linear(2, 2)
    assert unwrapped(module) is module


@pytest.mark.slow
def test_of_a_compiled_module_the_original():
    module = nn.Linear(2, 2)
    assert unwrapped(torch.compile(module)) is module


CASES = {
    "a class": (lambda: nn.Linear, "expected an nn.Module, found the class Linear; make one of a class"),
    "a function": (lambda: torch.relu, "The network is no module"),
    "several devices": (
        lambda: nn.DataParallel(nn.Linear(2, 2)),
        "wrapped in DataParallel: expected the module inside it; pass model.module",
    ),
    "TorchScript": (lambda: torch.jit.script(nn.ReLU()), "a module of TorchScript .*: expected an ordinary module"),
    "lazy": (
        lambda: nn.Sequential(nn.LazyLinear(2)),
        r"weights that are not made yet \(0\.weight\).* run it once, module\(example\)",
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_traced_is_refused(case):
    make, words = CASES[case]
    with pytest.raises(NetworkError, match=words):
        unwrapped(make())


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
