"""BatchNorm statistics of a segment's own: moved as torch moves them, and loud where they are lost."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from modelstitch import Network
from modelstitch.network.norms import Norm, own_statistics

EPS, MOMENTUM = 1e-5, 0.1


def norm():
    return Norm("n", torch.zeros(3), torch.ones(3))


@pytest.mark.parametrize("batches", [1, 3])
def test_running_statistics_are_those_of_torch(batches):
    mine, theirs = norm(), nn.BatchNorm2d(3, eps=EPS, momentum=MOMENTUM)
    mine.mode = "running"
    for seed in range(batches):
        x = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(seed)) * 3 + 1
        (y,) = mine(x, theirs.weight, theirs.bias, MOMENTUM, EPS)
        assert torch.equal(y, theirs(x))
    assert torch.equal(mine.mean, theirs.running_mean)
    assert torch.equal(mine.var, theirs.running_var)
    assert mine.finite


def test_the_mean_over_batches_forgets_where_it_began():
    mine = norm()
    mine.mode = "mean"
    mine.restart()
    batches = torch.randn(5, 8, 3, generator=torch.Generator().manual_seed(0))
    for x in batches:
        mine(x, None, None, MOMENTUM, EPS)
    torch.testing.assert_close(mine.mean, batches.mean((0, 1)))
    torch.testing.assert_close(mine.var, batches.var(1).mean(0))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, 1e30], ids=["nan", "infinity", "overflow"])
def test_statistics_that_are_lost_give_nan_from_then_on(bad):
    mine = norm()
    mine.mode = "running"
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    weight = torch.ones(3, requires_grad=True)
    (y,) = mine(torch.cat([x, torch.full((1, 3), bad)]), weight, None, MOMENTUM, EPS)
    y.sum().backward()
    mine.mode = "frozen"
    assert not mine.finite
    assert mine(x, None, None, MOMENTUM, EPS)[0].isnan().all()


def draws(count):
    return torch.randn(count, 4, 3, generator=torch.Generator().manual_seed(0)) * 2 + 1


@pytest.mark.slow
@pytest.mark.parametrize("momentum", [0.1, 0.0, 1.0, None])
@pytest.mark.parametrize("name", ["norm", "meta"])  # a graph module has a "meta" of its own
def test_statistics_go_on_from_the_donors_as_in_training_mode(momentum, name):
    module = nn.Sequential()
    module.add_module(name, nn.BatchNorm1d(3, momentum=momentum))
    module.add_module("head", nn.Linear(3, 2))
    for x in draws(5):
        module(x)
    donor = module.eval()
    theirs = copy.deepcopy(donor).train()
    segment = Network(donor, torch.ones(2, 3)).full()
    ((_, mine),) = own_statistics(segment, donor).items()
    mine.mode = "running"
    for at, x in enumerate(draws(9)[5:]):
        if at == 2:  # a fit that was stopped goes on from its state
            state = copy.deepcopy(mine.state_dict())
            mine.restart()
            mine.mean.zero_()
            mine.load_state_dict(state)
        torch.testing.assert_close(segment(x), theirs(x), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(mine.mean, theirs[0].running_mean, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(mine.var, theirs[0].running_var, rtol=1e-6, atol=1e-6)


class Domains(nn.Module):
    """Statistics of several domains in one tensor."""

    def __init__(self):
        super().__init__()
        self.register_buffer("means", torch.rand(2, 3))
        self.register_buffer("vars", torch.ones(2, 3))
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        return self.head(F.batch_norm(x, self.means[1], self.vars[1]))


def test_statistics_that_are_computed_are_left_as_they_are():
    donor, x = Domains().eval(), draws(1)[0]
    segment = Network(donor, x).full()
    assert own_statistics(segment, donor) == {}
    torch.testing.assert_close(segment(x), donor(x))
