"""The matrix equals stitching pair by pair."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import modelstitch as ms
from modelstitch.errors import ShapeError, StitchError


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)

    def forward(self, x):
        return torch.relu(x + self.norm(self.conv(x)))


class Mixer(nn.Module):
    """Tokens with a class token and a mask that passes every cut: (image) -> classes."""

    def __init__(self, width=12):
        super().__init__()
        self.embed = nn.Conv2d(1, width, 2, stride=2)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.one, self.two = (nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)) for _ in "ab")
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        z = self.embed(x).flatten(2).transpose(1, 2)
        z = torch.cat([self.token.expand(z.shape[0], -1, -1), z], 1)
        z = self.one(z)
        return self.head(self.two(z)[:, 0])


def convolutional(seed, width=8):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1), Residual(width), nn.MaxPool2d(2), Residual(width), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(width, 10),
    )  # fmt: skip


@pytest.fixture(scope="module")
def world():
    example = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(2)
    networks = [
        ms.Network(convolutional(0), example, "a"), ms.Network(convolutional(1, 10), example, "b"),
        ms.Network(Mixer(), example, "mixer"),
    ]  # fmt: skip
    return *networks, ms.load_data("digits", limit=400)


def same(entry, stitched):
    # Weights of hundreds, where channels are nearly collinear, turn the last digit of float32 into more than 1e-5.
    largest = max(float(value.abs().max()) for value in stitched.stitcher.state_dict().values())
    near = 1e-5 * max(1.0, largest / 100)
    stitched = stitched.metrics
    for metric, value in entry.items():
        if metric in ("penalty", "error", "agreement_top", "agreement_bottom"):
            # One near tie that falls the other way is one example in the test split.
            assert value == pytest.approx(stitched[metric], abs=1e-9), metric
        else:
            assert value == pytest.approx(stitched[metric], rel=near, abs=near), metric


@pytest.mark.parametrize(("below", "above"), [(0, 1), (0, 2), (2, 0), (1, 1)])
def test_every_entry_equals_its_own_stitch(world, below, above):
    bottom, top, data = world[below], world[above], world[3]
    found = ms.matrix(bottom, top, data, samples=160, batch_size=48, seed=5)
    assert [(e.bottom_layer, e.top_layer) for e in found.entries] == [(b, t) for b in bottom.blocks for t in top.blocks]
    for entry in found.entries:
        own = ms.stitch(
            bottom,
            top,
            (entry.bottom_layer, entry.top_layer),
            data,
            objective="match",
            samples=160,
            batch_size=48,
            seed=5,
        )
        rows = found.frame.filter(bottom_layer=entry.bottom_layer, top_layer=entry.top_layer)
        same(dict(zip(rows["metric"], rows["value"])), own)
        low, high = rows.filter(metric="penalty").select("low", "high").row(0)
        assert (low, high) == pytest.approx(own.interval)


def test_families_positions_and_chosen_layers(world):
    a, _, _, data = world
    layers = ([a.blocks[1]], [a.blocks[0], a.blocks[1]])
    found = ms.matrix(a, a, data, layers=layers, family=["identity", "affine"], samples=100)
    assert {e.family for e in found.entries} == {"identity", "affine"}
    itself = found.frame.filter(family="identity", top_layer=a.blocks[1])
    values = dict(zip(itself["metric"], itself["value"]))
    assert (values["penalty"], values["agreement_top"], values["relative_mse"]) == (0, 100, 0)
    few = ms.matrix(a, a, data, layers=layers, samples=100, positions=4)
    all_of_them = [e.judged.relative_mse for e in found.entries if e.family == "affine"]
    assert [e.judged.relative_mse for e in few.entries] != all_of_them
    assert [e.judged.relative_mse for e in few.entries] == pytest.approx(all_of_them, abs=0.2)
    with pytest.raises(StitchError, match="positions must be 1 or more, found 0"):
        ms.matrix(a, a, data, layers=layers, samples=100, positions=0)


def test_how_many_rows_run_at_once_does_not_matter(world):
    a, b, _, data = world
    results = [ms.matrix(a, b, data, samples=100, rows_at_once=rows) for rows in (1, 100, 10**6)]
    for other in results[1:]:
        for one, two in zip(results[0].entries, other.entries):
            assert one.judged.relative_mse == pytest.approx(two.judged.relative_mse, abs=1e-6)
            assert float((one.judged.outcome.losses - two.judged.outcome.losses).abs().max()) < 1e-4


def test_donors_are_left_alone(world):
    a, b, _, data = world
    before, state = (a.fingerprint(), b.fingerprint()), torch.get_rng_state()
    ms.matrix(a, b, data, samples=50)
    assert (a.fingerprint(), b.fingerprint()) == before
    assert torch.equal(state, torch.get_rng_state())


def test_pictures(world):
    a, b, _, data = world
    found = ms.matrix(a, b, data, samples=50)
    assert "<svg" in found._repr_html_()
    assert len(found.figure(["penalty", "r2", "agreement_top"]).axes) >= 3


def test_mistakes(world):
    a, b, _, data = world
    with pytest.raises(ShapeError, match="a@0 -> b@0: The family 'orthogonal' needs as many channels"):
        ms.matrix(a, b, data, family="orthogonal", samples=50, layers=(["0"], ["0"]))
    with pytest.raises(StitchError, match="The layers must be two lists"):
        ms.matrix(a, b, data, layers=("0", "0"))
    with pytest.raises(StitchError, match="at least one family"):
        ms.matrix(a, b, data, family=[])
    broken = convolutional(3)
    with torch.no_grad():
        broken[6].weight[0, 0] = float("inf")
    top = ms.Network(broken, torch.randn(2, 1, 8, 8), "broken")
    with pytest.raises(StitchError, match="NaN or infinity"):
        ms.matrix(a, top, data, samples=50)
