"""The straight line between two networks' weights."""

import torch
from torch import nn

from modelstitch.paper.probes.path import POINTS, WAYS, between


def net(seed):
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    module(torch.randn(16, 3) + seed)
    return module


def test_its_ends_are_the_networks_and_its_middle_the_mean():
    one, other = net(0), net(1)
    for share, wanted in ((0.0, one), (1.0, other)):
        found = between(one, other, share).state_dict()
        assert all(
            torch.allclose(found[k], v, atol=1e-7) for k, v in wanted.state_dict().items() if v.is_floating_point()
        )
    half = between(one, other, 0.5)
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        if a.is_floating_point():
            assert torch.allclose(half.state_dict()[name], (a + b) / 2, atol=1e-6)
    assert not half.training


def test_the_networks_stay_as_they_are():
    one, other = net(0), net(1)
    before = [v.clone() for m in (one, other) for v in m.state_dict().values()]
    between(one, other, 0.3)
    assert all(
        torch.equal(a, b)
        for a, b in zip(before, [v for m in (one, other) for v in m.state_dict().values()], strict=True)
    )
    assert one.training


def test_both_ends_are_among_the_points():
    assert POINTS[0] == 0.0
    assert POINTS[-1] == 1.0
    assert list(POINTS) == sorted(POINTS)
    assert len(WAYS) == 3
