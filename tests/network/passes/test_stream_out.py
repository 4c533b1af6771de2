"""Activations handed over as soon as they are there: the same ones, one at a time."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from modelstitch.network import Network
from modelstitch.network.passes.channels_last import quick
from modelstitch.network.passes.stream_out import hand_over
from network.cases import CASES
from network.test_segment import call, traced


def taken(net, layers, take):
    return net.taps(layers, edit=lambda graph: hand_over(graph, layers, take))


@pytest.mark.parametrize("name", CASES)
def test_every_layer_is_handed_over_as_it_is(name):
    net, case = traced(name)
    layers = list(net.layers)
    inputs = case.inputs(4)
    with torch.no_grad():
        plain = call(net.taps(layers), inputs)
        found = call(taken(net, layers, lambda layer, value: (layer, value.clone())), inputs)
        quickly = call(quick(net, layers, torch.device("cpu"), lambda _, value: value.clone()), inputs)
    for layer in layers:
        assert found[layer][0] == layer
        assert torch.equal(found[layer][1], plain[layer])
        torch.testing.assert_close(quickly[layer], plain[layer], rtol=1e-4, atol=1e-5)


class Counted(TorchDispatchMode):
    """How many linear layers have run."""

    seen = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen += func is torch.ops.aten.addmm.default
        return func(*args, **(kwargs or {}))


def test_an_activation_is_taken_before_the_next_layer_runs_and_need_not_outlive_it():
    module = nn.Sequential(*(nn.Linear(4, 4) for _ in range(4))).eval()
    x = torch.randn(3, 4)
    net = Network(module, x)
    seen: list[weakref.ref[torch.Tensor]] = []

    def take(layer: str, value: torch.Tensor) -> torch.Tensor:
        assert all(earlier() is None for earlier in seen[:-1])  # the last one is what this one was made of
        seen.append(weakref.ref(value))
        assert counted.seen == len(seen)
        return value.sum()

    with torch.no_grad():
        with Counted() as counted:
            found = taken(net, ["0", "1", "2", "3"], take)(x)
        assert len(seen) == 4
        assert torch.equal(found["3"], module(x).sum())


def test_a_layer_named_twice_is_handed_over_once():
    net = Network(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)).eval(), torch.randn(2, 4))
    seen: list[str] = []

    def take(layer: str, value: torch.Tensor) -> str:
        seen.append(layer)
        return layer

    assert taken(net, ["0", "0", "2"], take)(torch.randn(2, 4)) == {"0": "0", "2": "2"}
    assert seen == ["0", "2"]


def test_outputs_without_a_layer_are_refused():
    net = Network(nn.Sequential(nn.Linear(4, 4), nn.ReLU()).eval(), torch.randn(2, 4))
    with pytest.raises(ValueError, match="zip"):
        net.taps(["0"], output=True, edit=lambda graph: hand_over(graph, ["0"], lambda layer, _: layer))


def test_an_error_of_the_taker_comes_through():
    net = Network(nn.Sequential(nn.Linear(4, 4), nn.ReLU()).eval(), torch.randn(2, 4))

    def take(layer: str, value: torch.Tensor) -> None:
        raise ValueError(f"no {layer}")

    with pytest.raises(ValueError, match="no 0"):
        taken(net, ["0"], take)(torch.randn(2, 4))
