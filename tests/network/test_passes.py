"""Quicker forms of a part: the same numbers, up to rounding, and nothing overwritten that is read again."""

from __future__ import annotations

import copy
import weakref

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from modelstitch.network import OUTPUT, Network
from modelstitch.network.passes import ChannelsLast, hand_over, quick, scale_norms, write_in_place
from network.cases import CASES
from network.test_segment import call, traced


class Plain(nn.Module):
    def __init__(self, rule) -> None:
        super().__init__()
        self.conv, self.norm, self.rule = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), rule

    def forward(self, x):
        return self.rule(self, x).mean((2, 3))


def residual(m, x):
    y = m.conv(x).relu()
    return y + m.norm(y).relu()


def turned_first(m, x):
    return m.conv(x).transpose(2, 3) + m.conv(x)  # only the second may be overwritten, and it lies otherwise


def turned_second(m, x):
    return m.conv(x)[:, :] + m.conv(x).transpose(2, 3).relu()


# How a graph is written, and how many of its results may replace an argument.
EACH = (1, 2, 3)  # over all of a sample, none of the others
RULES = {
    "a chain": (lambda m, x: m.norm(m.conv(x)).relu(), 1),
    "read again by a sum": (residual, 3),  # both rectifiers, and the sum over the second; never over the first
    "read again much later": (lambda m, x: (y := m.conv(x)).tanh().sigmoid() * y, 2),
    "the input itself": (lambda m, x: x.relu()[:, :1] + m.conv(x), 1),
    "with itself": (lambda m, x: (y := m.conv(x)) + y, 0),
    "through a view": (lambda m, x: m.conv(x).transpose(2, 3).relu(), 0),
    "a smaller one": (lambda m, x: m.norm(m.conv(x)).mean((2, 3), keepdim=True).relu() + m.conv(x), 1),
    "another type": (lambda m, x: m.conv(x).half() * m.conv(x), 1),
    "twice the second": (lambda m, x: torch.add(x[:, :1], m.conv(x), alpha=2), 0),
    "read by strides": (lambda m, x: (y := turned_first(m, x)).as_strided(y.shape, y.stride()), 0),
    "read as complex": (
        lambda m, x: torch.view_as_real(torch.view_as_complex(turned_second(m, x).unflatten(3, (3, 2)))).flatten(3),
        0,
    ),
    "read before, by what shows nothing of it": (
        lambda m, x: (m.norm(y := m.conv(x)).sum(EACH, keepdim=True) + y).relu(),
        2,
    ),
    "read before, by what shows it": (
        lambda m, x: (v := (y := m.conv(x))[:, :2]).mean(EACH, keepdim=True) + y.relu() + v.mean(EACH, keepdim=True),
        2,
    ),  # the sums
    "read as another type": (lambda m, x: turned_second(m, x).view(torch.int16).float(), 0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_only_what_nobody_reads_again_is_overwritten(name):
    rule, expected = RULES[name]
    torch.manual_seed(0)
    module = Plain(rule).eval()
    x = torch.randn(4, 3, 6, 6)
    part = Network(module, x[:2]).taps([], output=True)
    with torch.no_grad():
        before = part(x)[OUTPUT]
        assert write_in_place(part.body.graph) == expected
        part.body.recompile()
        given = x.clone()
        assert torch.equal(part(x)[OUTPUT], before)
        assert torch.equal(x, given)


class Sided(nn.Module):
    def __init__(self, rule) -> None:
        super().__init__()
        self.data, self.side, self.rule = nn.Linear(6, 8), nn.Linear(2, 8), rule

    def forward(self, x, t):
        return self.rule(self.side(t), self.data(x))


@pytest.mark.parametrize("rule", [torch.add, torch.mul])
def test_a_side_input_of_one_row_is_repeated(rule):
    x, t = torch.randn(4, 6), torch.randn(4, 2)
    module = Sided(rule).eval()
    part = Network(module, (x, t)).taps([], output=True)
    assert write_in_place(part.body.graph) == 1
    part.body.recompile()
    with torch.no_grad():
        for rows in (1, 4):
            assert torch.equal(part(x, t[:rows])[OUTPUT], module(x, t[:rows]))
            assert torch.equal(part(x[:1], t[:rows])[OUTPUT], module(x[:1], t[:rows]))


@pytest.mark.parametrize("rule", [torch.add, torch.mul])
def test_a_callers_autocast_rounds_no_more_than_the_donor_does(rule):
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(6, 6)

        def forward(self, x):
            return rule(x, self.linear(x))

    x, module = torch.randn(4, 6), Residual().eval()
    part = Network(module, x).taps([], output=True)
    assert write_in_place(part.body.graph) == 1
    part.body.recompile()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found, expected = part(x)[OUTPUT], module(x)
    assert found.dtype == expected.dtype == torch.float32
    assert torch.equal(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_layer_of_every_kind_of_network_stays_the_same(name):
    net, case = traced(name)
    inputs = case.inputs(4)
    layers = list(net.layers)
    for chosen in ([], layers[::2], layers[1::2], layers[-1:]):  # more is overwritten where less is tapped
        part = net.taps(chosen, output=True)
        state = {k: v.clone() for k, v in part.body.state_dict().items()}
        with torch.no_grad():
            before = {k: v.clone() for k, v in call(part, inputs).items()}
            write_in_place(part.body.graph)
            part.body.recompile()
            again = copy.deepcopy(inputs)
            for _ in range(2):
                found = (
                    part(**again)
                    if isinstance(again, dict)
                    else part(*again)
                    if isinstance(again, tuple)
                    else part(again)
                )
                assert all(torch.equal(found[k], before[k]) for k in before)
        assert all(torch.equal(v, state[k]) for k, v in part.body.state_dict().items())


CPU = torch.device("cpu")


def filled(norm):
    """As training leaves it."""
    draw = torch.Generator().manual_seed(0)
    for value in [v for v in norm.state_dict().values() if v.is_floating_point()]:
        value.copy_(torch.rand(value.shape, generator=draw) + 0.5)
    return norm


SHAPES = {
    "maps": (nn.BatchNorm2d(4), (5, 4, 3, 3)),
    "maps, channels last": (nn.BatchNorm2d(4), (5, 4, 3, 3)),
    "sequences": (nn.BatchNorm1d(4), (5, 4, 7)),
    "vectors": (nn.BatchNorm1d(4), (5, 4)),
    "volumes": (nn.BatchNorm3d(4), (5, 4, 2, 3, 2)),
    "without weights": (nn.BatchNorm2d(4, affine=False), (5, 4, 3, 3)),
    "another eps": (nn.BatchNorm2d(4, eps=0.5), (5, 4, 3, 3)),
}


@pytest.mark.slow
@pytest.mark.parametrize("over", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_the_numbers_are_those_of_the_norm(name, over):
    norm, shape = SHAPES[name]
    module = nn.Sequential(nn.Tanh(), filled(norm)).eval()
    x = torch.randn(shape)
    if "last" in name:
        x = x.contiguous(memory_format=torch.channels_last)
    part = Network(module, x).taps([], output=True)
    assert scale_norms(part.body.graph) == 1
    if over:
        assert write_in_place(part.body.graph) == 1
    part.body.recompile()
    with torch.no_grad():
        found, expected = part(x)[OUTPUT], module(x)
        assert found.stride() == expected.stride()
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
        wide = nn.Sequential(nn.Tanh(), norm).double()(x.double())
        assert (found - wide).abs().max() <= 2 * (expected - wide).abs().max() + 1e-7
        norm.float()


def test_under_a_callers_autocast_the_type_is_the_donors():
    module, x = nn.Sequential(nn.Conv2d(3, 4, 3), filled(nn.BatchNorm2d(4))).eval(), torch.randn(4, 3, 8, 8)
    part = quick(Network(module, x), ["1"], CPU)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found, expected = part(x)["1"], module(x)
    assert found.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_networks_in_half_precision_round_as_the_norm_does(dtype):
    norm = nn.BatchNorm1d(3).eval().to(dtype)
    norm.running_mean.fill_(300)
    norm.running_var.fill_(1e-7)
    module, x = nn.Sequential(nn.Identity(), norm).to(dtype), torch.full((4, 3), 300.0).to(dtype)
    with torch.no_grad():
        found = quick(Network(module, x), ["1"], CPU)(x)["1"]
        assert torch.equal(found, module(x))
        assert bool(torch.isfinite(found).all())


class Strided(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = filled(nn.BatchNorm2d(3))

    def forward(self, x):
        y = self.norm(x)
        return y.as_strided((y.shape[0], 12), (48, 1)).relu()


def test_what_reads_strides_is_left_alone():
    module, x = Strided().eval(), torch.randn(4, 3, 4, 4)
    with torch.no_grad():
        for form in (torch.contiguous_format, torch.channels_last):
            given = x.contiguous(memory_format=form)
            assert torch.equal(quick(Network(module, x), ["norm"], CPU)(given)["norm"], module.norm(given))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_layer_of_every_kind_of_network_stays_nearly_the_same(name):
    net, case = traced(name)
    inputs = case.inputs(4)
    part = net.taps(list(net.layers), output=True)
    with torch.no_grad():
        before = {k: v.clone() for k, v in call(part, inputs).items()}
        scale_norms(part.body.graph)
        part.body.recompile()
        for layer, value in call(part, inputs).items():
            torch.testing.assert_close(value, before[layer], rtol=1e-5, atol=1e-6)


class Windows(nn.Module):
    """Overlapping pairs of pixels, taken by their place in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(2, 3)

    def forward(self, x):
        y = self.conv(x)
        return self.head(y.as_strided((y.shape[0], 4, 8, 7, 2), (256, 64, 8, 1, 1)))


def test_what_reads_strides_keeps_its_layout():
    module, x = Windows().eval(), torch.randn(3, 3, 8, 8)
    with torch.no_grad():  # a convolution may round its last digit otherwise on another processor
        torch.testing.assert_close(quick(Network(module, x), ["head"], CPU)(x)["head"], module(x), rtol=1e-5, atol=1e-6)


def test_images_are_convolved_channels_last():
    net = Network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval(), torch.randn(2, 3, 8, 8))
    part = quick(net, ["0"], CPU)
    assert isinstance(part, ChannelsLast)
    assert part(torch.randn(2, 3, 8, 8))["0"].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("layer", [nn.Linear(8, 4), nn.Conv2d(3, 4, 3)], ids=["linear", "images"])
def test_a_part_is_moved_to_the_device(layer):
    net = Network(nn.Sequential(layer).eval().to("meta"), torch.randn(2, 3, 8, 8, device="meta"))
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):  # it is tried
        quick(net, ["0"], CPU)


@pytest.mark.parametrize("apart", [False, True])
def test_what_is_taken_apart_from_an_activation_lets_it_be_overwritten(apart):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    x = torch.randn(2, 3, 8, 8)
    held, copies = {}, {}

    def take(layer, value):
        held[layer], copies[layer] = value, value.clone()
        return value.sum()

    part = quick(Network(module, x), ["0", "1"], CPU, take, apart=apart)
    with torch.no_grad():
        part(x)
        expected = {"0": module[0](x), "1": module[:2](x)}
    for layer, value in expected.items():
        torch.testing.assert_close(copies[layer], value, rtol=1e-5, atol=1e-6)  # when it is taken
    assert torch.equal(held["0"], copies["0"]) is not apart  # later
    assert torch.equal(held["1"], copies["1"])  # its rectifier is not part of the pass


def taken(net, layers, take):
    return net.taps(layers, edit=lambda graph: hand_over(graph, layers, take))


@pytest.mark.slow
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
