"""Tops whose samples cannot simply be put behind each other: the matrix gives the numbers of stitching pair by pair."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import modelstitch as ms


@pytest.fixture(scope="module")
def data():
    return ms.load_data("digits", limit=400)


class WithPositions(nn.Module):
    """A second input for all samples at once, read behind the first layer."""

    def __init__(self, mask):
        super().__init__()
        self.mask = mask
        self.one, self.two, self.head = nn.Linear(8, 12), nn.Linear(12, 12), nn.Linear(12, 10)
        self.positions = nn.Embedding(3, 12)

    def forward(self, x, beside):
        h = self.one(x[:, 0]).relu()
        if self.mask:
            h = h + nn.functional.scaled_dot_product_attention(h, h, self.two(h), attn_mask=beside)
        else:
            h = self.two(h + self.positions(beside).sum(0)).relu()
        return self.head(h.mean(1))


def mixing():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 8), nn.BatchNorm1d(8, track_running_stats=False), nn.ReLU(),
        nn.Linear(8, 10),
    )  # fmt: skip


UNLIKE = {
    "positions for all samples": (lambda: WithPositions(False), torch.arange(3), ["one", "two"]),
    "one mask for all samples": (lambda: WithPositions(True), torch.ones(8, 8, dtype=torch.bool).tril(), ["one"]),
    "statistics of the batch": (mixing, None, ["1", "3"]),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_tops_whose_samples_cannot_be_put_behind_each_other(data, name):
    build, beside, layers = UNLIKE[name]
    view = (lambda x: x) if beside is None else (lambda x: (x, beside))
    example, pair = torch.randn(4, 1, 8, 8), []
    for seed in (0, 1):
        torch.manual_seed(seed)
        pair.append(ms.Network(build(), view(example), f"net{seed}", view=view))
    found = ms.matrix(*pair, data, layers=([layers[0]], layers), samples=100, augment=False)
    for entry in found.entries:
        alone = ms.stitch(
            *pair,
            (entry.bottom_layer, entry.top_layer),
            data,
            objective="match",
            samples=100,
            augment=False,
            device="cpu",
        )
        assert entry.judged.outcome.error == pytest.approx(alone.metrics["error"])


def test_one_test_sample_is_enough(data):
    torch.manual_seed(0)
    pair = [ms.Network(mixing(), torch.randn(4, 1, 8, 8), f"net{i}") for i in range(2)]
    assert not pair[0].mixes(torch.randn(1, 1, 8, 8))
    assert pair[0].mixes(torch.randn(8, 1, 8, 8))
    flat = [
        ms.Network(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), torch.randn(4, 1, 8, 8), f"flat{i}")
        for i in range(2)
    ]
    assert not flat[0].mixes(torch.randn(8, 1, 8, 8))
    found = ms.matrix(*flat, data.shorter(test=1), layers=(["0"], ["0"]), samples=100, augment=False)
    assert len(found.entries[0].judged.outcome.ids) == 1
