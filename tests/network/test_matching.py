"""Layers of two networks set beside each other: by name, by kind, by depth; as the plan of a comparison has them."""

import pytest
import torch

from modelstitch.network import Network
from modelstitch.network.matching import matching
from modelstitch.study.plan import seams
from modelstitch.study.run import describe_donor
from modelstitch.zoo.nets import build

MAPS = [("a", "map", 0.2), ("b", "map", 0.6), ("c", "map", 0.9)]


@pytest.mark.parametrize(
    ("bottom", "top", "pairs"),
    [
        (MAPS, [(name, "map", depth / 3) for name, _, depth in MAPS], [(0, 0), (1, 1), (2, 2)]),  # one architecture
        (MAPS, [("x", "map", 0.3), ("y", "map", 0.8)], [(0, 0), (2, 1)]),
        ([("a", "map", 0.25), ("b", "map", 0.75)], [("x", "map", 0.5)], [(0, 0)]),  # as near: the earlier one
        ([*MAPS, ("p", "vector", 0.9)], [("x", "map", 0.9), ("q", "vector", 0.9)], [(2, 0), (3, 1)]),
        (MAPS, [("t", "tokens", 0.65)], [(1, 0)]),  # no other one of its kind
    ],
)
def test_the_nearest_of_its_kind(bottom, top, pairs):
    assert matching(bottom, top) == pairs


def test_a_networks_seams_are_those_that_are_compared():
    example = torch.zeros(2, 1, 16, 16)
    nets = [
        Network(build(net), example, net) for net in ("small-resnet?width=4&blocks=2", "resnet20?width=4&in_channels=1")
    ]
    for below, above in ((0, 1), (1, 0), (0, 0)):
        planned = seams(describe_donor(nets[below]), describe_donor(nets[above]), "matching")
        found = nets[below].seams(nets[above])
        assert [(s.bottom_layer, s.top_layer) for s in found] == [(b.layer, t.layer) for b, t in planned]
        assert {(s.bottom, s.top) for s in found} == {(nets[below].name, nets[above].name)}
