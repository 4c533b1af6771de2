"""A network's name is by what it computes: equal weights under another function are another network."""

import copy

import pytest
import torch
from torch import nn

from modelstitch import Network
from modelstitch.network.trace import digest
from modelstitch.network.trace.digest import fingerprint, forget, origin_of
from modelstitch.support.ambient import settled
from modelstitch.zoo.nets import build
from others import told

EXAMPLE = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """Two heads on one body, with everything that can differ while the weights do not."""

    def __init__(self, act=torch.relu, factor=1.0, shift=(0.0, 0.0), eps=1e-5, branch=False):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.body, self.norm = nn.Linear(4, 6), nn.LayerNorm(6, eps=eps)
            self.coarse, self.fine = nn.Linear(6, 2), nn.Linear(6, 2)
        self.act, self.factor, self.shift, self.branch = act, factor, shift, branch

    def forward(self, x):
        hidden = self.act(self.norm(self.body(x * self.factor)))
        if self.branch:
            hidden = hidden.flip(1)
        return {"coarse": self.coarse(hidden) + torch.tensor(self.shift), "fine": self.fine(hidden)}


def name(output=None, module=None, **options):
    return Network((module or Net(**options)).eval(), EXAMPLE, "net", output=output).fingerprint()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "output"),
    [
        ({"act": torch.tanh}, None),
        ({"factor": 1 / 255}, None),
        ({"shift": (0.0, 1.0)}, None),
        ({"eps": 1e-3}, None),
        ({"branch": True}, None),
        ({}, "fine"),
    ],
)
def test_another_function_of_the_same_weights_is_another_network(options, output):
    assert name(output, **options) != name()


@pytest.mark.slow
def test_the_same_function_is_the_same_network():
    assert name() == name()
    assert name("coarse") == name()
    first = Network(Net().eval(), EXAMPLE, "first")
    assert first.named("second").fingerprint() == first.fingerprint()
    assert first.replaced(Net().eval()).fingerprint() == first.fingerprint()
    training = Net().train()
    assert name(module=training) == name()


def test_other_weights_are_another_network():
    other = Net()
    nn.init.ones_(other.fine.weight)
    assert name(module=other) != name()


NETS = ("resnet20?width=2", "vit?dim=8&depth=2&heads=2&patch=8")
CODE = f"""
import torch
from modelstitch import Network
from modelstitch.zoo.nets import build
for net in {NETS}:
    print(Network(build(net, seed=0).eval(), torch.zeros(2, 3, 32, 32), "n").fingerprint())
"""


@pytest.mark.slow
def test_another_process_and_another_batch_give_the_same_name(tmp_path):
    others = told(CODE, folder=tmp_path).split()
    mine = [Network(build(net, seed=0).eval(), torch.zeros(5, 3, 32, 32), "n").fingerprint() for net in NETS]
    assert mine == others


def test_another_input_that_carries_the_sample_is_another_network():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other = nn.Linear(4, 6), nn.Linear(4, 6)

        def forward(self, x, y):
            return self.one(x) + self.other(y)

    module, example = Two().eval(), (EXAMPLE, EXAMPLE + 1)
    first, second = (Network(module, example, "net", data=which) for which in (0, 1))
    assert first.fingerprint() != second.fingerprint()
    assert first.fingerprint() == Network(module, example, "net").fingerprint()


def made():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def test_any_change_of_a_weight_or_buffer_is_another_hash():
    module = made()
    found = {fingerprint(module)}
    assert fingerprint(copy.deepcopy(module)) in found
    for change in (
        lambda m: m[0].weight.data[0, 0].add_(1e-3),
        lambda m: m[1].running_mean.add_(1.0),
        lambda m: m.double(),
        lambda m: m.append(nn.ReLU()).append(nn.Linear(1, 1)),
    ):
        other = copy.deepcopy(module)
        change(other)
        found.add(fingerprint(other))
    assert len(found) == 5


def test_a_shape_without_numbers_has_a_hash_too():
    assert len(fingerprint(made().to("meta"))) == 16


def test_where_weights_come_from_is_kept_with_their_hash():
    module = made()
    assert origin_of(module, None) is None
    assert origin_of(module, "random, seed 0") == ("random, seed 0", fingerprint(module))


@pytest.mark.parametrize(
    ("change", "hashed"),
    [
        (lambda m: None, 1),
        (lambda m: m[0].weight.detach().add_(1), 2),
        (lambda m: setattr(m[0].weight, "data", torch.zeros(4, 3)), 2),
        (lambda m: m[1].register_buffer("more", torch.zeros(1)), 2),
        (lambda m: (m[0].weight.data.add_(1), forget()), 2),
    ],
    ids=["nothing", "a write", "another tensor", "another buffer", "a write that torch does not count"],
)
def test_a_call_hashes_a_module_once_unless_it_changes(monkeypatch, change, hashed):
    calls, real = [], digest._hashed
    monkeypatch.setattr(digest, "_hashed", lambda tensors: calls.append(1) or real(tensors))
    module = made()
    with settled():
        before = fingerprint(module)
        change(module)
        assert (fingerprint(module) == before) == (hashed == 1)
        with settled():
            fingerprint(module)
        assert len(calls) == hashed
    fingerprint(module)
    fingerprint(module)
    assert len(calls) == hashed + 2  # outside of a call nothing is believed


def test_what_torch_does_not_count_is_hashed_each_time():
    with torch.inference_mode(), settled():
        module = made()
        before = fingerprint(module)
        module[0].weight.add_(1)
        assert fingerprint(module) != before
