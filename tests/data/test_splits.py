"""Seeded, class-balanced choices of samples."""

import pytest
import torch

from modelstitch.data.splits import balanced_order, few, hold_out

LABELS = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)


def test_every_prefix_holds_the_classes_in_their_proportion():
    order = balanced_order(LABELS, 0)
    assert sorted(order.tolist()) == list(range(100))
    for n in range(1, 101):
        counts = LABELS[order[:n]].bincount(minlength=3).double()
        assert float((counts - n * torch.tensor([0.6, 0.3, 0.1])).abs().max()) <= 1.0


def test_the_seed_decides_and_nothing_else():
    assert torch.equal(balanced_order(LABELS, 3), balanced_order(LABELS, 3))
    assert not torch.equal(balanced_order(LABELS, 3), balanced_order(LABELS, 4))
    before = torch.get_rng_state()
    balanced_order(LABELS, 5)
    assert torch.equal(torch.get_rng_state(), before)


def test_sequences_are_drawn_as_they_come():
    assert sorted(balanced_order(torch.zeros(8, 3), 0).tolist()) == list(range(8))


def test_what_is_held_out_is_balanced_and_leaves_the_rest():
    kept, out = hold_out(LABELS, 20, seed=1)
    assert LABELS[out].bincount().tolist() == [12, 6, 2]
    assert sorted([*kept.tolist(), *out.tolist()]) == list(range(100))
    assert kept.tolist() == sorted(kept.tolist())


def test_the_first_ones_do_where_they_are_a_fair_sample():
    mixed = LABELS[torch.randperm(100, generator=torch.Generator().manual_seed(0))]
    assert few(mixed, 100, 40).tolist() == list(range(40))
    assert few(torch.zeros(100, 3), 100, 40).tolist() == list(range(40))
    assert len(few(mixed, 100, 1000)) == 100


@pytest.mark.parametrize("labels", [None, torch.arange(1000).sort().values // 100])
def test_else_they_are_drawn(labels):
    found = few(labels, 1000, 200)
    assert len(set(found.tolist())) == 200
    assert found.tolist() != list(range(200))
    assert torch.equal(found, few(labels, 1000, 200))
