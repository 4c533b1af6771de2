"""What a figure is: names of networks, and seeds that go round."""

import pytest

from modelstitch.paper.figure import Model, turned


def test_different_models_have_different_names():
    kinds = [
        Model(),
        Model(seed=1),
        Model("half"),
        Model(samples=0.5),
        Model(samples=0.5, part=1),
        Model(labels="random-10"),
        Model(samples="some"),
        Model(samples="some", part=1),
        Model(time=2.0),
        Model(time=2.0, at=1.0),
        Model(method="simclr"),
        Model(change="re-initialised"),
    ]
    assert len({m.name for m in kinds}) == len(kinds)


@pytest.mark.parametrize(
    ("other", "repeats", "seeds"),
    [
        ({"method": "simclr"}, 1, [(1, 0)]),
        ({"method": "simclr"}, 2, [(1, 0), (0, 1)]),
        ({"method": "simclr"}, 3, [(1, 0), (2, 1), (0, 2)]),
        ({}, 1, [(1, 0)]),
        ({}, 2, [(1, 0), (2, 1)]),
        ({}, 3, [(1, 0), (2, 1), (0, 2)]),
        ({}, 4, [(1, 0), (2, 1), (3, 2), (0, 3)]),
    ],
)
def test_seeds_go_round_between_repeats_and_no_pair_comes_twice(other, repeats, seeds):
    pair = (Model(seed=1, **other), Model(seed=0))
    found = [tuple(m.seed for m in turned(pair, r, repeats)) for r in range(repeats)]
    assert found == seeds


def test_a_network_alone_and_one_of_the_users_own_turn_as_they_can():
    assert [turned((Model(seed=1),), r, 2)[0].seed for r in range(2)] == [1, 0]
    own = (Model(file="DINO"), Model(file="supervised"))
    assert turned(own, 1, 2) == own
