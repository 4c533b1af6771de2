"""Many stitches through one top give the numbers of each alone, also where samples are not simply stacked."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import modelstitch as ms

pytestmark = pytest.mark.slow


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


class Mixing(nn.Module):
    """Sees the other samples of a batch, of digits though not of the example it is traced with."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(64, 12, bias=False), nn.Linear(12, 8, bias=False)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        h = self.two(self.one(x.flatten(1)).relu())
        return self.head(torch.where(h.abs().amax() < 0.01, h, h - h.mean(0)).relu())


UNLIKE = {
    "positions for all samples": (lambda: WithPositions(False), torch.arange(3), ["one", "two"]),
    "one mask for all samples": (lambda: WithPositions(True), torch.ones(8, 8, dtype=torch.bool).tril(), ["one"]),
    "statistics of the batch": (Mixing, None, ["one", "two"]),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_tops_whose_samples_cannot_be_put_behind_each_other(data, name):
    build, beside, layers = UNLIKE[name]
    view = (lambda x: x) if beside is None else (lambda x: (x, beside))
    example, pair = 1e-3 * torch.randn(4, 1, 8, 8), []
    for seed in (0, 1):
        torch.manual_seed(seed)
        pair.append(ms.Network(build(), view(example), f"net{seed}", view=view))
    found = ms.matrix(*pair, data, layers=([layers[0]], layers), samples=100, augment=False)
    for record in found.records:
        seam = (record.bottom.layer, record.top.layer)
        alone = ms.stitch(*pair, seam, data, objective="match", samples=100, augment=False, device="cpu")
        assert record.metric("error").value == pytest.approx(alone.metrics["error"])


def test_one_test_sample_is_enough(data):
    torch.manual_seed(0)
    pair = [ms.Network(Mixing(), 1e-3 * torch.randn(4, 1, 8, 8), f"net{i}") for i in range(2)]
    samples = next(data.batches("fit", 8)).inputs
    assert not pair[0].mixes(samples[:1])
    assert pair[0].mixes(samples)
    flat = [
        ms.Network(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), torch.randn(4, 1, 8, 8), f"flat{i}")
        for i in range(2)
    ]
    assert not flat[0].mixes(torch.randn(8, 1, 8, 8))
    found = ms.matrix(*flat, data.shorter(test=1), layers=(["0"], ["0"]), samples=100, augment=False)
    assert len(found.examples) == 1


def language(seed):
    """Reads its mask by index, so that the tracer does not learn that there are as many masks as samples."""

    class Reads(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.head = nn.Embedding(16, 8), nn.Linear(8, 8), nn.Linear(8, 16)

        def forward(self, input_ids, attention_mask):
            h = self.one(input_ids)
            n, t = input_ids.shape
            seen = attention_mask.bool()[torch.arange(n)[:, None, None], torch.arange(t)[None, None, :]].tril()
            weights = (self.two(h) @ h.transpose(1, 2)).masked_fill(~(seen | torch.eye(t, dtype=torch.bool)), -1e4)
            return self.head(self.two(h + weights.softmax(-1) @ h))

    torch.manual_seed(seed)
    return Reads()


@pytest.mark.parametrize("test", [1, 5, 37])
def test_masks_whose_number_the_tracer_does_not_know(test):
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, 16, (80, 6), generator=generator)
    mask = (torch.arange(6) < torch.randint(3, 7, (80, 1), generator=generator)).long()
    labels = torch.where(mask.bool(), ids.roll(-1, 1), -100)
    rows = [({"input_ids": i * m, "attention_mask": m}, y) for i, m, y in zip(ids, mask, labels)]
    data = ms.Data(rows[:30], rows[30:40], rows[40 : 40 + test])
    pair = [ms.Network(language(s), next(data.batches("val", 2)).inputs, f"net{s}") for s in (0, 1)]
    size = pair[0]._trace.inputs[1].meta["val"].shape[0].node.expr
    assert size != pair[0]._trace.batch  # else nothing is tried here
    found = ms.matrix(*pair, data, layers=(["one", "two#2"], ["one", "two#2"]), samples=20, batch_size=4)
    for record in found.records:
        seam = (record.bottom.layer, record.top.layer)
        alone = ms.stitch(*pair, seam, data, objective="match", samples=20, device="cpu")
        assert record.metric("error").value == pytest.approx(alone.metrics["error"])
    assert len(ms.similarity(*pair, data=data, split="fit").frame)
    assert not pair[0].mixes(next(data.batches("fit", 8)).inputs)


def test_how_many_rows_run_at_once_does_not_matter(data, monkeypatch):
    networks = [ms.load("zoo:small-resnet?width=4&blocks=2", seed=s, name=f"net{s}") for s in (0, 1)]
    found = []
    for rows in (1, 100, 10**6):
        monkeypatch.setattr("modelstitch.engine.tails.ROWS", rows)
        found.append(ms.matrix(*networks, data, samples=100).frame)
    for other in found[1:]:
        for metric, near in (("relative_mse", 1e-6), ("loss", 1e-4), ("penalty", 1e-9)):
            one, two = (f.filter(metric=metric)["value"].to_list() for f in (found[0], other))
            assert one == pytest.approx(two, abs=near), metric
