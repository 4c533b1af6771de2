"""Copies that share tensors or none, and modules out of their wrappers."""

import threading

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from modelstitch.errors import NetworkError, TraceError
from modelstitch.network.trace.twin import NoDropout, deep_copy, kind_of, make_twin, unwrapped


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
