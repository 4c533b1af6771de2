"""Channels-first sequences, from end to end: the eight rows of a digit, read as channels over eight steps."""

from __future__ import annotations

import copy

import polars as pl
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import modelstitch as ms

pytestmark = pytest.mark.slow

QUICK = {"steps": 20, "batch_size": 64}


class OverTime(nn.Module):
    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.front = nn.Sequential(nn.Conv1d(8, width, 3, padding=1), nn.BatchNorm1d(width), nn.ReLU())
        self.back = nn.Sequential(nn.Conv1d(width, 12, 3, stride=stride, padding=1), nn.BatchNorm1d(12), nn.ReLU())
        self.last = nn.Conv1d(12, 12, 1)
        self.head = nn.Linear(12, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.last(self.back(self.front(x))).mean(2))


def as_sequence(inputs: torch.Tensor) -> torch.Tensor:
    return inputs[:, 0]


def network(module: nn.Module, name: str) -> ms.Network:
    return ms.Network(module.eval(), torch.zeros(2, 8, 8), name, view=as_sequence)


@pytest.fixture(scope="module")
def data() -> ms.Data:
    return ms.load_data("digits", limit=500)


@pytest.fixture(scope="module")
def modules(data) -> list[OverTime]:
    found = []
    for seed, stride in ((0, 1), (1, 2)):
        torch.manual_seed(seed)
        module = OverTime(10, stride).train()
        optimizer = torch.optim.Adam(module.parameters(), 1e-2)
        for _ in range(15):
            for batch in data.batches("fit", 64):
                loss = F.cross_entropy(module(as_sequence(batch.inputs)), batch.labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        found.append(module.eval())
    return found


@pytest.fixture(scope="module")
def pair(modules) -> list[ms.Network]:
    return [network(modules[0], "even"), network(modules[1], "strided")]


def test_layers_are_sequences_and_the_networks_have_learnt(pair, data):
    assert [(pair[1].layer(n).kind, pair[1].layer(n).over, pair[1].layer(n).shape) for n in ("front", "back")] == [
        ("sequence", "line", (10, 8)),
        ("sequence", "line", (12, 4)),
    ]
    assert pair[1].layer("back").channels == 12
    assert {"front", "back"} <= set(pair[1].blocks)
    found = ms.stitch(pair[0], pair[0], "front", data, family="identity", objective="match")
    assert found.penalty == 0
    assert found.metrics["top_error"] < 30


def test_channels_turned_by_any_matrix_are_turned_back(modules, pair, data):
    """Mixing over time instead of channels could not: the penalty would be that of noise."""
    turned = copy.deepcopy(modules[0])
    turn = torch.randn(12, 12, generator=torch.Generator().manual_seed(3))
    last = turned.last
    with torch.no_grad():
        last.weight.copy_(torch.einsum("ij,jkt->ikt", turn, last.weight))
        last.bias.copy_(turn @ last.bias)
    found = ms.stitch(network(turned, "turned"), pair[0], "last", data, objective="match")
    assert found.penalty == 0
    assert found.metrics["r2"] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("family", ["affine", "norm-affine-norm", "conv:3", "mlp", "low-rank:4"])
def test_every_family_stands_between_lengths(pair, data, family):
    found = ms.stitch(pair[0], pair[1], "back", data, family=family, **QUICK)
    assert "adapter: resize 8 to 4 (area down, linear up)" in found.record["notes"]
    assert found.penalty < 40  # chance is above 60 here


def test_a_map_folds_into_the_convolution_below(pair, data):
    found = ms.stitch(pair[0], pair[0], "last", data, **QUICK)
    folded = found.fold()
    inputs = as_sequence(next(data.batches("test", 16)).inputs)
    assert folded.into
    torch.testing.assert_close(folded(inputs), found(inputs), rtol=1e-4, atol=1e-4)


def test_controls_the_matrix_and_similarity(pair, data, tmp_path):
    seams = ["front", "back"]
    found = ms.compare(*pair, data, layers=seams, controls=("self", "random", "class-noise"), out=tmp_path, **QUICK)
    penalties = found.frame.filter(pl.col("metric") == "penalty")
    assert set(penalties["control"]) == {"pair", "self", "random", "class-noise"}
    assert penalties["value"].is_finite().all()
    grid = ms.matrix(*pair, data, layers=(seams, seams), family="affine").frame
    at_back = (pl.col("bottom_layer") == "back") & (pl.col("top_layer") == "back")
    alone = ms.stitch(pair[0], pair[1], "back", data, objective="match")
    for metric in ("penalty", "r2"):  # the sums of the matrix stay at the bottom's own positions
        (found_here,) = grid.filter(at_back & (pl.col("metric") == metric))["value"]
        assert found_here == pytest.approx(alone.metrics[metric], abs=0.5 if metric == "penalty" else 0.01)
    cka = ms.similarity(pair[0], pair[0], data, layers=(seams, seams)).frame
    same = cka.filter(at_back & (pl.col("measure").str.starts_with("cka_linear")))["value"]
    assert len(same)
    assert same.to_list() == pytest.approx([1.0] * len(same), abs=1e-6)
