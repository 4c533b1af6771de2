"""What a figure is: names of networks, and seeds that go round."""

from itertools import product

import pytest

from modelstitch.paper.figure import Model, turned


def test_different_networks_have_different_names():
    models = [
        Model(net, seed, samples, part, labels, time, at, method, change)
        for net, seed, samples, part, labels, time, at, method, change in product(
            ("base", "wide"), (0, 1), (1.0, 0.5, "some"), (0, 1), ("true", "random-50"), (1.0, 2.0), (None, 0.5), ("labels", "simclr"),
            ("", "re-initialised"),
        )
        if samples != 1.0 or not part
    ]  # fmt: skip
    assert len({m.name for m in models}) == len(models)
    assert Model().name == "base, seed 0"
    assert Model(samples=0.5, part=1).name == "base, 50 % of the data (part 1), seed 0"
    assert Model(file="mine.pt").name == "mine.pt"


@pytest.mark.parametrize("repeats", [1, 2, 3, 5])
def test_no_pair_of_seeds_comes_twice(repeats):
    pairs = [tuple(m.seed for m in turned((Model(seed=1), Model(seed=0)), i, repeats)) for i in range(repeats)]
    assert pairs[0] == (1, 0)
    assert len({frozenset(p) for p in pairs}) == repeats


def test_unlike_networks_need_two_seeds_for_two_repeats():
    pairs = [tuple(m.seed for m in turned((Model(seed=1, method="simclr"), Model(seed=0)), i, 2)) for i in range(2)]
    assert pairs == [(1, 0), (0, 1)]


def test_a_checkpoint_of_ones_own_has_no_other_seed():
    mine = Model(file="mine.pt")
    assert turned((mine, Model(seed=0)), 1, 2)[0] is mine
