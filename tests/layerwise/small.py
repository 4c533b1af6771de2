"""Two small networks over few samples, and the rows of their layers as saved."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.data import TensorDataset

import modelstitch as ms
from modelstitch.layerwise.meeting import Meeting, meeting_of
from modelstitch.layerwise.passes import Rows
from modelstitch.layerwise.plan import Block, width

LAYERS = (("0", "2"), ("0",))


def net(seed: int, width: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(2, width, 3), nn.ReLU(), nn.Conv2d(width, 3, 3), nn.Flatten(), nn.Linear(12, 4)
        ).eval()


def world(n: int = 60) -> tuple[ms.Network, ms.Network, ms.Data]:
    """Two networks and data whose validation split has n samples."""
    x = torch.randn(n, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    y = torch.arange(n) % 4
    data = ms.Data(TensorDataset(x[:4] + 1, y[:4]), TensorDataset(x, y), TensorDataset(x[:4] + 2, y[:4]))
    example = torch.zeros(2, 2, 6, 6)
    return ms.Network(net(0, 5), example, "a"), ms.Network(net(1, 6), example, "b"), data


def met(*networks: ms.Network, data: ms.Data, layers=LAYERS) -> Meeting:
    """Two networks as bottom and top, or more of them as one set."""
    if len(networks) == 2:
        return meeting_of(*networks, data, layers, "all")
    return meeting_of(list(networks), None, data, layers, "all")


def block_of(meeting: Meeting, view: str = "pool") -> Block:
    """All layers at once."""
    left, right = ({key: width(meeting.places[key][1], view) for key in side} for side in meeting.whole)
    return Block(left, right, meeting.pairs)


def rows_of(meeting: Meeting, data: ms.Data, view: str = "pool", tell=None) -> Rows:
    """Where rows come from, in the order of the split."""
    batches = lambda size: data.batches("val", size)  # noqa: E731
    return Rows(meeting, view, torch.device("cpu"), batches, data.size("val"), tell)


def third() -> ms.Network:
    """A network beside the two."""
    return ms.Network(net(2, 4), torch.zeros(2, 2, 6, 6), "c")


def saved(network: ms.Network, name: str, data: ms.Data, view: str = "pool") -> torch.Tensor:
    """The rows of a layer, float64, by a plain forward."""
    batch = next(data.batches("val", data.size("val")))
    with torch.no_grad():
        value = network.taps([name])(batch.inputs)[name].double()
    return value.mean((2, 3)) if view == "pool" and value.ndim == 4 else value.flatten(1)
