"""A network with other weights uses the graph again where that is right, and is traced anew where it is not."""

import copy

import pytest
import torch
from torch import nn

from modelstitch import Network
from modelstitch.network import network as room
from modelstitch.zoo.nets import build

EXAMPLE = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
NET = "small-resnet?width=4&blocks=3"


@pytest.fixture(scope="module")
def first():
    return Network(build(NET, seed=0).eval(), EXAMPLE, "first")


def test_the_graph_is_used_again_and_gives_the_other_modules_output(first, monkeypatch):
    other = build(NET, seed=1).eval()
    before = first(EXAMPLE)
    monkeypatch.setattr(room, "trace", None)  # a second trace would fail
    second = first.replaced(other, "second")
    assert second.name == "second"
    assert first.name == "first"
    assert torch.equal(second(EXAMPLE), other(EXAMPLE))
    assert torch.equal(first(EXAMPLE), before)
    for cut in second.cuts:
        assert torch.equal(second.top(cut)(second.bottom(cut)(EXAMPLE)), other(EXAMPLE))
    assert second.fingerprint() != first.fingerprint()


@pytest.mark.parametrize("change", ["shape", "function"])
def test_another_architecture_is_traced_anew(first, change):
    if change == "shape":
        other = build("small-resnet?width=6&blocks=3", seed=1).eval()
    else:
        other = copy.deepcopy(first.module)
        other.pool = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten())
    second = first.replaced(other)
    assert torch.equal(second(EXAMPLE), other(EXAMPLE))
    assert second.layer("block1").channels == other.stem[0].out_channels


class Plain(nn.Module):
    """No biases, and a number that is no parameter."""

    def __init__(self, scale):
        super().__init__()
        self.first, self.second = nn.Linear(4, 6, bias=False), nn.Linear(6, 3, bias=False)
        self.scale = scale

    def forward(self, x):
        return self.second(torch.relu(self.first(x)) * self.scale)


def test_an_example_of_zeros_hides_nothing():
    x = torch.randn(5, 4)
    other = Plain(3.0).eval()
    second = Network(Plain(2.0).eval(), torch.zeros(2, 4)).replaced(other)
    assert torch.equal(second(x), other(x))


class Writes(nn.Module):
    """Scales its own input in place."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, x):
        x.sub_(0.5).div_(0.25)
        return self.head(self.conv(x).relu().mean((2, 3)))


def test_a_forward_that_writes_into_its_input_leaves_the_example_alone(monkeypatch):
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    kept, other = x.clone(), Writes().eval()
    net = Network(Writes().eval(), x)
    monkeypatch.setattr(room, "trace", None)  # a second trace would fail
    second = net.replaced(other)
    net.check_sample(wide := torch.rand(2, 1, 12, 12))  # another size, which is no other function
    assert torch.equal(x, kept)
    assert torch.equal(second(wide), other(wide.clone()))
