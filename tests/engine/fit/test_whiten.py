"""Whitened coordinates hold the same map."""

import pytest
import torch

from modelstitch.engine.fit.closed import collect, solve
from modelstitch.engine.fit.objectives import stages
from modelstitch.engine.fit.options import FitSpec
from modelstitch.engine.fit.run import Run
from modelstitch.engine.fit.whiten import Whitened
from modelstitch.engine.senders import NetworkSender
from modelstitch.engine.sweep import Sweep, open_stream
from modelstitch.moments.moments import Moments
from modelstitch.stitchers import Affine, Site, family_of
from modelstitch.stitchers.conv import Conv


def problem(p=6, q=5, n=400, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, p, generator=generator) @ torch.randn(p, p, generator=generator) + 3
    y = x @ torch.randn(p, q, generator=generator) + 0.1 * torch.randn(n, q, generator=generator)
    return x, Moments.of(x, y)


def test_the_start_is_the_affine_map_and_plain_gives_it_back():
    x, moments = problem()
    affine = Affine.solve(moments, Site(6, 5, "vector"))
    whitened = Whitened(affine, moments)
    assert torch.allclose(whitened(x), affine(x), atol=1e-3)
    assert torch.allclose(whitened.plain()(x), whitened(x), atol=1e-4)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_a_kernel_is_the_same_in_whitened_coordinates_at_the_border_too(kernel):
    _, moments = problem()
    generator = torch.Generator().manual_seed(2)
    conv = Conv.random(Site(6, 5, "map"), generator, kernel=kernel)
    maps = torch.randn(4, 6, 7, 7, generator=generator)
    whitened = Whitened(conv, moments)
    assert torch.allclose(whitened(maps), conv(maps), atol=1e-3)
    with torch.no_grad():
        whitened.core += 0.1 * torch.randn(whitened.core.shape, generator=generator)
    plain = whitened.plain()
    assert isinstance(plain, Conv)
    assert torch.allclose(plain(maps), whitened(maps), atol=1e-3)
    assert not torch.allclose(plain(maps), conv(maps), atol=1e-1)


def test_steps_change_the_kernel_and_nothing_else():
    _, moments = problem()
    conv = Conv.random(Site(6, 5, "map"), torch.Generator().manual_seed(3), kernel=3)
    before = conv.weight.detach().clone()
    whitened = Whitened(conv, moments)
    assert {name for name, _ in whitened.named_parameters()} == {"core"}
    whitened(torch.ones(2, 6, 5, 5)).square().sum().backward()
    assert whitened.core.grad is not None
    assert whitened.core.grad.abs().sum() > 0
    assert torch.equal(conv.weight, before)
    assert conv.weight.grad is None


def test_dead_channels_stay_harmless():
    x, _ = problem()
    x[:, 2] = 7.0
    moments = Moments.of(x, x[:, :5])
    affine = Affine.solve(moments, Site(6, 5, "vector"))
    whitened = Whitened(affine, moments)
    assert torch.isfinite(whitened(x)).all()
    assert torch.allclose(whitened(x), affine(x), atol=1e-3)


@pytest.mark.parametrize("p", [3, 16, 64, 300])
def test_steps_that_pull_together_move_the_output_as_far_with_any_number_of_channels(p):
    x, moments = problem(p=p, q=40, n=4000)
    whitened = Whitened(Affine.solve(moments, Site(p, 40, "vector")), moments)
    inputs = (x - whitened.mean_x) @ whitened.whitener.T
    moved = 0.01 * whitened.pace * inputs.abs().sum(1)  # the first step of Adam at the rate 0.01, all signs agreeing
    assert moved.mean() == pytest.approx(0.01 * 64 * (2 / torch.pi) ** 0.5, rel=0.1)


@pytest.mark.parametrize(
    ("optimizer", "family", "factor"),
    [
        ("adam", "affine", 64 / 16),
        ("adam", "conv:3", 64 / 16 / 9),
        ("muon", "affine", 2.5),
        ("muon", "conv:3", 2.5 / 3),
        ("muon", "norm-affine-norm", 1),
        ("muon", "mlp:8", 0.1),
    ],
)
def test_a_run_takes_the_rate_of_its_layer(pair, digits, optimizer, family, factor):
    bottom, top = pair
    sweep = Sweep(
        NetworkSender(bottom), top, digits, FitSpec(learning_rate=0.01, optimizer=optimizer), torch.device("cpu")
    )
    cls, options = family_of(family)
    stream = open_stream(
        family,
        sweep.sender,
        top,
        "stem",
        "stem",
        family=cls,
        options=options,
        objective="task",
        init="closed",
        later=(),
        device=sweep.device,
    )
    collect([stream], sweep)
    solve([stream], sweep)
    run = Run(stream, stages("task", top, "stem", sweep.spec)[0], sweep)
    assert run.optimiser.param_groups[0]["lr"] == pytest.approx(0.01 * factor)
