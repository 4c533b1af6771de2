"""BatchNorm as a multiplication and a sum: the same numbers up to rounding, in the same type."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from modelstitch.network import OUTPUT, Network
from modelstitch.network.passes.channels_last import quick
from modelstitch.network.passes.in_place import write_in_place
from modelstitch.network.passes.scale_norms import scale_norms
from network.cases import CASES
from network.test_segment import call, traced

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
    assert write_in_place(part.body.graph) == 1 if over else True
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
