"""The caller's module, and the random state, are the same after tracing, cutting, running, moving, and failing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from modelstitch.errors import NetworkError, StitchError
from modelstitch.network import Network, fingerprint
from modelstitch.network.network import apart, blueprint, check_networks
from network.cases import CASES, chain, images, vectors
from network.shapes import InPlace, Residual


def state(module: nn.Module) -> dict[str, Any]:
    """Everything that a caller could notice."""
    return {
        "hash": fingerprint(module),
        "flags": {name: p.requires_grad for name, p in module.named_parameters()},
        "identity": {name: (id(p), p.data_ptr(), p.dtype, p.device) for name, p in module.named_parameters()},
        "grads": {name: p.grad for name, p in module.named_parameters()},
        "training": {name: m.training for name, m in module.named_modules()},
        "kinds": {name: type(m) for name, m in module.named_modules()},
        "hooks": {name: (len(m._forward_hooks), len(m._forward_pre_hooks)) for name, m in module.named_modules()},
        "attributes": {name: sorted(vars(m)) for name, m in module.named_modules()},
        "rng": torch.get_rng_state().tolist(),
    }


def mixed(module: nn.Module) -> nn.Module:
    """Some parts training and some not, some weights frozen: flags that must come back as they were."""
    for i, part in enumerate(module.modules()):
        part.training = i % 2 == 0
    for i, parameter in enumerate(module.parameters()):
        parameter.requires_grad_(i % 2 == 0)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_module_is_unchanged(name: str) -> None:
    case = CASES[name]
    module = mixed(case.build())
    inputs = case.inputs(case.example)
    before = state(module)
    net = Network(module, inputs, data=case.data, output=case.output)
    for cut in net.cuts[:2]:
        net.top(cut)(net.bottom(cut)(inputs), inputs)
        net.top(cut).to(torch.float64)
        net.bottom(cut).to("meta")
    assert state(module) == before


class HalfWay(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.norm = nn.Linear(6, 6), nn.BatchNorm1d(6)

    def forward(self, x: Tensor) -> Tensor:
        torch.manual_seed(3)
        torch.rand(3)
        h = self.norm(self.fc(x))
        raise RuntimeError("half-way")
        return h


def test_module_is_unchanged_after_a_failure() -> None:
    module, example = mixed(HalfWay()), vectors(3)
    before = state(module)
    with pytest.raises(NetworkError, match="half-way"):
        Network(module, example)
    assert state(module) == before


def test_example_is_unchanged() -> None:
    case = CASES["in place on the input"]
    example = case.inputs(3)
    kept = example.clone()
    net = Network(case.build(), example)
    net(example)
    assert torch.equal(example, kept)


def test_moving_a_segment_leaves_the_module() -> None:
    module = nn.Sequential(nn.Linear(6, 6), Residual(), nn.Linear(6, 4))
    net = Network(module, vectors(3))
    top = net.top("0")
    assert top.body.get_parameter("1.fc1.weight").data_ptr() == module[1].fc1.weight.data_ptr()  # shared until moved
    top.to("meta")
    assert {p.device.type for p in top.parameters()} == {"meta"}
    assert top(torch.empty(2, 6, device="meta")).device.type == "meta"
    assert {p.device.type for p in module.parameters()} == {"cpu"}
    assert {p.dtype for p in net.bottom("0").double().parameters()} == {torch.float64}
    assert {p.dtype for p in module.parameters()} == {torch.float32}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["likes", "constants", "regions", "windows", "gru"])
def test_devices_written_in_the_graph_move_too(name: str) -> None:
    case = CASES[name]
    net = Network(case.build(), case.inputs(3))
    for cut in net.cuts:
        activation = net.bottom(cut).to("meta")(case.inputs(4).to("meta"))
        assert net.top(cut).to("meta")(activation).device.type == "meta", cut


def test_a_cast_leaves_devices_written_in_the_graph() -> None:
    case = CASES["likes"]
    net = Network(case.build(), case.inputs(3))
    part = net.full().to("meta").double()
    assert part(case.inputs(4).to("meta").double()).device.type == "meta"


def test_gradients_reach_the_activation_and_not_the_donor() -> None:
    module = InPlace()
    net = Network(module, images(3))
    for cut in net.cuts[:-1]:
        activation = net.bottom(cut)(images(4)).requires_grad_()
        net.top(cut)(activation).square().sum().backward()
        assert activation.grad is not None
        assert activation.grad.abs().sum() > 0
    assert all(p.grad is None for p in module.parameters())


def test_gradients_pass_an_encoder_layer() -> None:
    # Its fused kernel for inference has no gradient: tracing must take the plain path.
    case = CASES["encoder"]
    net = Network(case.build(), case.inputs(3))
    activation = net.bottom("0")(case.inputs(4)).requires_grad_()
    net.top("0")(activation).sum().backward()
    assert activation.grad is not None
    assert not torch.equal(activation.grad, torch.zeros_like(activation))


def flops(module: nn.Module, *inputs: Any) -> tuple[int, Any]:
    with FlopCounterMode(display=False) as counter:
        result = module(*inputs)
    return counter.get_total_flops(), result


@pytest.mark.slow
@pytest.mark.parametrize("name", ["chain", "residual", "unet", "in place", "class token", "encoder", "flatten", "tied"])
@torch.no_grad()
def test_top_computes_nothing_below(name: str) -> None:
    case = CASES[name]
    net = Network(case.build(), case.inputs(3))
    inputs = case.inputs(4)
    total, _ = flops(net.full(), inputs)
    assert total > 0
    for cut in net.cuts:
        below, activation = flops(net.bottom(cut), inputs)
        above, _ = flops(net.top(cut), activation)
        assert below + above == total, cut


def test_weights_are_read_when_called_not_when_traced() -> None:
    module = chain()
    net = Network(module, vectors(3))
    with torch.no_grad():
        module[0].weight.zero_()
        module[0].bias.fill_(1)
    assert torch.equal(net.bottom("0")(vectors(2)), torch.ones(2, 8))


def network(seed, name="net", **more):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Network(nn.Sequential(nn.Linear(3, 3), nn.ReLU()).eval(), torch.zeros(2, 3), name, **more)


def test_networks_of_two_names_stay_apart():
    one, two = network(0, "one"), network(1, "two")
    assert apart(one, two) == (one, two)
    assert apart(one, one) == (one, one)


def test_the_same_network_under_one_name_is_one():
    one, again = network(0), network(0)
    assert apart(one, again) == (one, one)


@pytest.mark.parametrize(
    "other", [lambda: network(1), lambda: network(0, view=lambda x: 2 * x)], ids=["weights", "view"]
)
def test_two_networks_of_one_name_are_refused(other):
    with pytest.raises(
        StitchError, match="Both networks are called 'net': expected distinct names; pass name= to Network"
    ):
        apart(network(0), other())


def test_a_bare_module_is_no_network():
    with pytest.raises(
        NetworkError, match="The top must be a modelstitch Network, found Linear: make one with Network"
    ):
        check_networks(bottom=network(0), top=nn.Linear(2, 2))


def drawn(width=3, rows=2, act=nn.ReLU, dtype=torch.float32, name="net"):
    module = nn.Sequential(nn.Linear(width, 3), act()).eval().to(dtype)
    return Network(module, torch.zeros(rows, width, dtype=dtype), name)


@pytest.mark.parametrize(
    ("changed", "alike"),
    [
        ({}, True),
        ({"name": "other"}, True),
        ({"width": 4}, False),
        ({"act": nn.Tanh}, False),
        ({"dtype": torch.float64}, False),
        ({"rows": 3}, False),
    ],
)
def test_a_blueprint_is_what_is_computed_and_its_shapes(changed, alike):
    one, other = drawn(), drawn(**changed)
    assert one.fingerprint() != other.fingerprint()
    assert (blueprint(one) == blueprint(other)) is alike
