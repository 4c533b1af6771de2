"""A job in pieces: each once, each behind what it needs."""

from types import SimpleNamespace

import pytest
from tiny import TINY

from modelstitch.paper.catalogue import FIGURES, figure
from modelstitch.paper.pieces import pieces
from modelstitch.paper.scales import FULL

PLAN = SimpleNamespace(scale=TINY, protocols=("honest", "paper"))


def test_every_piece_stands_once_and_behind_what_it_needs():
    found = pieces([figure(name) for name in FIGURES], PLAN)
    seen = set()
    for piece in found:
        assert piece.key not in seen
        assert piece.needs <= seen
        seen.add(piece.key)
    assert [p.figure for p in found if p.what is None] == list(FIGURES)


@pytest.mark.parametrize(
    ("names", "kinds"),
    [
        (("4",), {"network": 2, "curve or probe": 2, "page": 1}),  # a pair under two protocols
        (("5",), {"network": 5, "curve or probe": 7, "page": 1}),  # three of the networks are drawn anew
        (("4", "5"), {"network": 5, "curve or probe": 9, "page": 2}),
        (("5", "6"), {"network": 6, "curve or probe": 12, "page": 2}),  # the two seeds of figure 6 are those of 5
        (("2b-imagenet",), {"network": 0, "curve or probe": 6, "page": 1}),  # the user's own are not trained
    ],
)
def test_what_figures_share_is_one_piece(names, kinds):
    found = pieces([figure(name) for name in names], PLAN)
    networks, page = [p for p in found if p.key.startswith("network")], [p for p in found if p.what is None]
    assert kinds == {
        "network": len(networks),
        "curve or probe": len(found) - len(networks) - len(page),
        "page": len(page),
    }


def test_a_run_is_trained_before_its_checkpoints_and_its_changes():
    found = {p.key: p for p in pieces([figure("3b"), figure("5")], PLAN)}
    assert not any(" at " in key for key in found if key.startswith("network"))
    assert found["network base, re-initialised, seed 1"].needs == {"network base, seed 1"}
    later = next(p for p in found.values() if "at 1 x time" in p.key)
    assert "network base, 2 x time, seed 0" in later.needs


def test_networks_on_the_same_share_are_one():
    plan = SimpleNamespace(scale=FULL, protocols=("honest",))
    found = {p.key for p in pieces([figure(name) for name in FIGURES], plan) if p.key.startswith("network")}
    assert "network base, 50 % of the data, seed 0" in found  # of figure 2A, and "much data" of 2C
    assert not [key for key in found if "much" in key]
