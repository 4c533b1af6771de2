"""Other layouts and precisions: as close to the module as the precision allows, and still exact at every cut."""

from __future__ import annotations

import pytest
import torch

from modelstitch.errors import TraceError
from modelstitch.network import Network
from network.cases import CASES

IMAGES = ["in place", "unet", "class token", "flatten"]
TOLERANCE = {torch.bfloat16: 2e-2, torch.float16: 3e-3}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in IMAGES if name != "flatten"])  # a view that eager refuses, too
@torch.no_grad()
def test_channels_last(name: str) -> None:
    case = CASES[name]
    torch.manual_seed(0)
    module = case.build().eval().requires_grad_(False).to(memory_format=torch.channels_last)
    net = Network(module, case.inputs(3))
    x = case.inputs(4)
    last = x.to(memory_format=torch.channels_last)
    expected = net(last)
    assert torch.allclose(expected, module(x.clone()), rtol=1e-4, atol=1e-5)
    for cut in net.cuts:
        assert torch.equal(net.top(cut)(net.bottom(cut)(last)), expected), cut


@pytest.mark.slow
@pytest.mark.parametrize("name", IMAGES)
@torch.no_grad()
def test_every_top_takes_maps_in_channels_last_memory(name: str) -> None:
    case = CASES[name]
    torch.manual_seed(0)
    net = Network(case.build(), case.inputs(3))
    x, maps = case.inputs(4), 0
    for cut in net.cuts:
        activation = net.bottom(cut)(x)
        if activation.ndim == 4:
            last = activation.contiguous(memory_format=torch.channels_last)
            assert torch.allclose(net.top(cut)(last), net(x), rtol=1e-4, atol=1e-5), cut
            maps += 1
    assert maps


@pytest.mark.slow
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("name", [*IMAGES, "residual", "encoder", "tied"])
@torch.no_grad()
def test_autocast_around_the_parts(name: str, dtype: torch.dtype) -> None:
    case = CASES[name]
    torch.manual_seed(0)
    module = case.build().eval().requires_grad_(False)
    net = Network(module, case.inputs(3))
    x = case.inputs(4)
    plain = net(x)
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.autocast("cpu", dtype=dtype):
            eager, whole = module(x.clone()), net(x)
            joined = {cut: net.top(cut)(net.bottom(cut)(x)) for cut in net.cuts}
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    scale = float(plain.abs().max())
    assert (whole.float() - plain).abs().max() <= TOLERANCE[dtype] * scale * 2
    assert (whole.float() - eager.float()).abs().max() <= TOLERANCE[dtype] * scale
    for cut, value in joined.items():
        assert (value.float() - whole.float()).abs().max() <= TOLERANCE[dtype] * scale, cut
    assert torch.equal(net(x), plain)  # and in float32 again as before


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
@torch.no_grad()
def test_a_network_of_another_type_is_cut_exactly(dtype: torch.dtype) -> None:
    case = CASES["in place"]
    module = case.build().eval().requires_grad_(False).to(dtype)
    net = Network(module, case.inputs(3).to(dtype))
    x = case.inputs(4).to(dtype)
    expected = module(x.clone())
    assert expected.dtype == dtype
    for cut in net.cuts:
        assert net.layer(cut).dtype == dtype
        assert torch.equal(net.top(cut)(net.bottom(cut)(x)), expected), cut


def test_an_example_of_another_type_than_the_weights_is_refused() -> None:
    """The tracer would take it, and the first forward would not."""
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
    with pytest.raises(TraceError, match=r"same dtype.*its data are float32 of shape \(n, 4\)"):
        Network(module.half(), torch.zeros(2, 4))
    assert Network(module.half(), torch.zeros(2, 4).half()).cuts
