"""The list of a network's layers: what each is, how deep it lies, and why a cut there would not be exact."""

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import modelstitch as ms
from modelstitch.cli import cli
from modelstitch.network import Network
from modelstitch.network.layers import HEAD, matching, positions_of, row_of
from modelstitch.study.plan import seams
from modelstitch.study.prepared import describe_donor
from modelstitch.zoo.nets import build


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.inner = nn.Conv2d(4, 4, 3, padding=1)
        self.side = nn.Linear(2, 4)
        self.head = nn.Linear(4, 5)

    def forward(self, x, more):
        y = torch.relu(self.stem(x))
        y = y + self.inner(y)
        return self.head(y.mean((2, 3)) + self.side(more))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Network(Net().eval(), (torch.randn(2, 3, 6, 6), torch.randn(2, 2)), "net")


def test_shapes_kinds_and_parameters(network):
    stem, head = network.layer("stem"), network.layer("head")
    assert (stem.shape, stem.kind, stem.module, stem.channels, stem.positions) == (
        (4, 6, 6),
        "map",
        "Conv2d",
        4,
        (6, 6),
    )
    assert (head.shape, head.kind, head.channels, head.positions) == ((5,), "vector", 5, ())
    assert stem.parameters == 4 * 3 * 9 + 4
    assert head.parameters == sum(p.numel() for p in Net().parameters())
    assert stem.dtype == torch.float32


def test_depth_is_the_share_of_weighted_operations(network):
    # stem, inner, side, head: four operations
    assert [network.layer(name).depth for name in ("stem", "inner", "head")] == [0.25, 0.5, 1.0]


@pytest.mark.parametrize(
    ("name", "why"),
    [("inner", r"bypassed by a value in forward \(relu\)"), ("side", "it does not depend on the data input")],
)
def test_why_a_cut_would_not_be_exact(network, name, why):
    import re

    layer = network.layer(name)
    assert not layer.exact
    assert re.search(why, layer.why), layer.why
    assert layer.nearest
    assert name not in network.cuts


def test_exact_cuts_come_in_forward_order(network):
    assert network.cuts[0] == "stem"
    assert all(network.layer(name).exact and not network.layer(name).why for name in network.cuts)


@pytest.mark.parametrize(
    ("kind", "shape", "positions"),
    [
        ("map", (4, 5, 6), (5, 6)),
        ("grid", (5, 6, 4), (5, 6)),
        ("tokens", (7, 4), (7,)),
        ("sequence", (4, 7), (7,)),
        ("volume", (4, 2, 5, 6), (2, 5, 6)),
        ("lattice", (2, 5, 6, 4), (2, 5, 6)),
        ("vector", (4,), ()),
    ],
)
def test_a_shape_without_its_channels(kind, shape, positions):
    assert positions_of(kind, shape) == positions


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


@pytest.mark.slow
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


NET = "zoo:small-resnet?width=4&blocks=2"


def test_both_show_the_same_rows():
    net = ms.load(NET, meta=True)
    told, html = CliRunner().invoke(cli, ["layers", NET], catch_exceptions=False).output, net._repr_html_()
    for layer in net.layers.values():
        row = row_of(layer, net.blocks)
        assert len(row) == len(HEAD)
        if layer.exact:
            assert all(f"<td>{cell}</td>" in html and cell in told for cell in row)
    for line in net.in_words:
        assert line in " ".join(told.split())
        assert line in html


def test_a_name_is_no_markup():
    net = ms.Network(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)), torch.zeros(2, 4), "<b>mine</b>")
    assert "&lt;b&gt;mine&lt;/b&gt;" in net._repr_html_()
    assert "<b>" not in net._repr_html_()
