"""A recorded step is the step itself. Recording needs a GPU.

How it is used is tested with a stand-in that runs plainly.
"""

from __future__ import annotations

import copy
from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from modelstitch import stitch
from modelstitch.engine.fit.run import Run
from modelstitch.support.fast import cuda_graphs as recorded
from modelstitch.zoo import train as training
from modelstitch.zoo.nets import build


class Plain:
    """Loss and gradients as a recording gives them, without one; ``made`` counts them, ``calls`` their calls."""

    made, calls = 0, 0

    def __init__(self, loss, first, modules, within, pool=None):
        Plain.made += 1
        self.loss, self.within = loss, within
        self.parameters = [p for module in modules for p in module.parameters()]
        self.shapes = [tensor.shape for tensor in first]

    def takes(self, tensors):
        return [tensor.shape for tensor in tensors] == self.shapes

    def __call__(self, *tensors):
        Plain.calls += 1
        for parameter in self.parameters:
            parameter.grad = None
        with self.within():
            loss = self.loss(*tensors)
        loss.backward()
        return loss.detach()


def refusing(*args, **kwargs):
    raise RuntimeError("operation not permitted when stream is capturing")


@pytest.fixture
def stand_in(monkeypatch):
    """Steps on a CPU take the way of a GPU."""
    begin = Run.__init__

    def able(self, *args):
        begin(self, *args)
        self._recordable = not self.stream.tail.needs_input

    monkeypatch.setattr(Run, "__init__", able)
    monkeypatch.setattr(training, "_recordable", lambda batch: True)
    monkeypatch.setattr(Plain, "made", 0)
    monkeypatch.setattr(Plain, "calls", 0)
    return lambda made: monkeypatch.setattr(recorded, "Recorded", made)


FIT = {"steps": 14, "eval_every": 7, "batch_size": 100, "samples": 650, "device": "cpu"}


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["task", "distill", "downstream"])
@pytest.mark.parametrize("made", [Plain, refusing])
def test_a_stitch_is_the_same(pair, digits, stand_in, objective, made):
    """650 samples in batches of 100: the last of each pass has another shape, and runs plainly."""
    stand_in(made)
    s = stitch(*pair, "block2", digits, objective=objective, **FIT)
    assert (Plain.made, Plain.calls) == ((1, 12) if made is Plain else (0, 0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "_gradients", plainly(Run._gradients))
        expected = stitch(*pair, "block2", digits, objective=objective, **FIT)
    for found, wanted in zip(s.stitcher.parameters(), expected.stitcher.parameters()):
        assert torch.equal(found, wanted)


def plainly(step):
    def gradients(self, *args):
        self._recordable = False
        return step(self, *args)

    return gradients


@pytest.mark.parametrize("made", [Plain, refusing])
def test_a_donor_is_the_same(digits, stand_in, monkeypatch, made):
    recipe = training.Recipe(steps=6, batch_size=32, channels_last=True)
    found = build("small-resnet?width=8&blocks=2&in_channels=1&classes=10", seed=0)
    expected = copy.deepcopy(found)
    stand_in(made)
    training.train(found, digits, recipe)
    assert (Plain.made, Plain.calls) == ((1, 6) if made is Plain else (0, 0))
    monkeypatch.setattr(training, "_recordable", lambda batch: False)
    training.train(expected, digits, recipe)
    assert all(torch.equal(a, b) for a, b in zip(found.state_dict().values(), expected.state_dict().values()))


def test_no_room_is_not_taken_for_what_cannot_be_recorded(monkeypatch):
    def full(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(recorded, "Recorded", full)
    with pytest.raises(torch.OutOfMemoryError):
        recorded.record(lambda: None, [], [], nullcontext)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
def test_replayed_steps_are_the_plain_ones():
    torch.manual_seed(0)
    batches = [(torch.randn(16, 6, device="cuda"), torch.arange(16, device="cuda") % 3) for _ in range(4)]
    plain = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)).cuda()
    twin = copy.deepcopy(plain)
    replayed = recorded.Recorded(lambda x, y: cross_entropy(twin(x), y), batches[0], [twin], nullcontext)
    assert all(torch.equal(a, b) for a, b in zip(plain.state_dict().values(), twin.state_dict().values()))
    rules = [torch.optim.SGD(module.parameters(), 0.1, momentum=0.9) for module in (plain, twin)]
    for x, y in batches:
        rules[0].zero_grad()
        loss = cross_entropy(plain(x), y)
        loss.backward()
        assert torch.allclose(replayed(x, y), loss, atol=1e-6)
        for rule in rules:
            rule.step()
    for one, other in zip(plain.state_dict().values(), twin.state_dict().values()):
        assert torch.allclose(one.float(), other.float(), atol=1e-5)
