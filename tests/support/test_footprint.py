"""The memory of a piece of work is told without doing it, as it is when it is done."""

import pytest
import torch

from modelstitch.support.footprint import Footprint, most_held


def chain() -> None:
    x = torch.ones(1000)  # 4,000 bytes
    y = x + 1  # 8,000
    del x
    z = y.double()  # 12,000: 4,000 are free again
    z.view(10, 100).t()  # the same memory


def step() -> None:
    weight = torch.ones(50, 20, requires_grad=True)
    (weight @ torch.ones(20, 30)).relu().sum().backward()


@pytest.mark.parametrize(("work", "most"), [(chain, 12_000), (step, None), (lambda: None, 0)])
def test_what_is_told_is_what_is_held(work, most):
    with Footprint() as held:
        work()
    assert most_held(work) == held.most
    assert most is None or held.most == most


def test_memory_that_is_free_again_is_not_counted_on():
    with Footprint() as held:
        chain()
        assert held.now == 0


def test_what_asks_for_numbers_is_not_told():
    assert most_held(lambda: torch.ones(3).nonzero().tolist()) is None


def test_memory_that_was_there_before_is_not_counted():
    before = torch.ones(100)

    def look() -> None:
        before.view(10, 10).t().mul_(1)

    with Footprint() as held:
        look()
    assert held.most == 0
