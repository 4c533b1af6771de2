"""A hidden layer beside the affine map: silent at the start, and more than affine afterwards."""

import torch

from modelstitch.moments.moments import Moments
from modelstitch.stitchers import Affine, Site
from modelstitch.stitchers.mlp import MLP


def problem(p=4, q=3):
    torch.manual_seed(0)
    x = torch.randn(200, p) * torch.tensor([1.0, 5.0, 0.1, 2.0])[:p] + 3
    return x, torch.relu(x @ torch.randn(p, q))


def test_it_starts_as_the_affine_solution():
    x, y = problem()
    moments, site = Moments.of(x, y), Site(4, 3, "vector")
    found = MLP.solve(moments, site, hidden=7)
    assert found.down.shape == (7, 4)
    assert MLP.solve(moments, site).down.shape == (8, 4)
    assert torch.equal(found(x), Affine.solve(moments, site)(x))
    assert torch.equal(MLP.solve(moments, site, hidden=7).down, found.down)  # a seed of its own
    assert not torch.equal(MLP.solve(moments, site, hidden=7, seed=1).down, found.down)


def test_hidden_units_see_every_channel_at_one_scale():
    x, y = problem()
    found = MLP.solve(Moments.of(x, y), Site(4, 3, "vector"), hidden=2000)
    standardised = (x - x.mean(0)) / x.std(0, correction=0)
    drawn = found.down.detach() * x.std(0, correction=0)
    assert torch.allclose(drawn.std(0), torch.full((4,), 0.5), rtol=0.1)  # 1 / sqrt(4), whatever the channel's own
    assert torch.allclose(x @ found.down.T + found.shift, standardised @ drawn.T, atol=1e-3)


def test_a_channel_that_never_varies_is_left_out():
    x, y = problem()
    x[:, 2] = 1.5
    found = MLP.solve(Moments.of(x, y), Site(4, 3, "vector"))
    assert not found.down[:, 2].any()
    assert torch.isfinite(found(x)).all()


def test_steps_go_beyond_the_affine_map():
    x, y = problem()
    found = MLP.solve(Moments.of(x, y), Site(4, 3, "vector"), hidden=32)
    before = float((found(x) - y).square().mean().detach())
    optimiser = torch.optim.Adam(found.parameters(), 0.01)
    for _ in range(150):
        optimiser.zero_grad()
        (found(x) - y).square().mean().backward()
        optimiser.step()
    assert float((found(x) - y).square().mean().detach()) < 0.5 * before


def test_the_same_map_at_every_position():
    site = Site(4, 3, "map")
    found = MLP.random(site, torch.Generator().manual_seed(0), hidden=5)
    x = torch.randn(2, 4, 3, 3)
    flat = MLP.random(Site(4, 3, "vector"), torch.Generator().manual_seed(0), hidden=5)
    assert torch.allclose(found(x)[:, :, 1, 2], flat(x[:, :, 1, 2]), atol=1e-5)
