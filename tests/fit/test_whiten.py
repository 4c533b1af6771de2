"""Whitened coordinates hold the same map."""

import torch

from modelstitch.fit.whiten import WhitenedAffine
from modelstitch.moments import Moments
from modelstitch.stitchers import Affine, Site


def problem(p=6, q=5, n=400, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, p, generator=generator) @ torch.randn(p, p, generator=generator) + 3
    y = x @ torch.randn(p, q, generator=generator) + 0.1 * torch.randn(n, q, generator=generator)
    return x, Moments.of(x, y)


def test_the_start_is_the_affine_map_and_plain_gives_it_back():
    x, moments = problem()
    affine = Affine.solve(moments, Site(6, 5, "vector"))
    whitened = WhitenedAffine(affine, moments)
    assert torch.allclose(whitened(x), affine(x), atol=1e-3)
    assert torch.allclose(whitened.plain()(x), whitened(x), atol=1e-4)


def test_dead_channels_stay_harmless():
    x, _ = problem()
    x[:, 2] = 7.0
    moments = Moments.of(x, x[:, :5])
    affine = Affine.solve(moments, Site(6, 5, "vector"))
    whitened = WhitenedAffine(affine, moments)
    assert torch.isfinite(whitened(x)).all()
    assert torch.allclose(whitened(x), affine(x), atol=1e-3)
