"""The state of a training as plain values, and back."""

import torch
from torch import nn

from modelstitch.support.resume import Unfinished
from modelstitch.zoo.state import Trained, state_of, take_up


def made(seed):
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    return module, torch.optim.SGD(module.parameters(), 0.1, momentum=0.9), torch.Generator().manual_seed(seed)


def steps(module, optimiser, generator, n):
    for _ in range(n):
        optimiser.zero_grad()
        module(torch.randn(8, 3, generator=generator)).square().mean().backward()
        optimiser.step()


def test_a_run_that_was_stopped_ends_as_one_that_was_not(tmp_path):
    whole = made(0)
    steps(*whole, 7)
    stopped = made(0)
    steps(*stopped, 4)
    kept = Unfinished(tmp_path / "state", "cpu")
    kept.write(state_of(4, [stopped[0]], stopped[1], stopped[2], Trained({2: {"x": torch.ones(1)}}, 0.5)))
    again, trained = made(1), Trained()
    assert take_up(Unfinished(tmp_path / "state", "cpu"), [again[0]], again[1], again[2], trained) == 4
    assert trained.loss == 0.5
    assert list(trained.checkpoints) == [2]
    steps(*again, 3)
    for one, other in zip(whole[0].state_dict().values(), again[0].state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_where_nothing_was_left_nothing_is_done(tmp_path):
    module, optimiser, generator = made(0)
    before = [value.clone() for value in module.state_dict().values()]
    for left in (None, Unfinished(tmp_path / "state", "cpu")):
        assert take_up(left, [module], optimiser, generator, Trained()) == 0
    assert all(torch.equal(a, b) for a, b in zip(before, module.state_dict().values(), strict=True))
