"""What the positions of a layer lie on."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from modelstitch.network import Network


class Steps(nn.Module):
    def __init__(self, *steps):
        super().__init__()
        self.steps = nn.ModuleList(step if isinstance(step, nn.Module) else Do(step) for step in steps)

    def forward(self, x):
        for step in self.steps:
            x = step(x)
        return x.flatten(1)


class Do(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Gated(nn.Module):
    """A map weighed by a convolution along its channels (Wang et al. 2020, efficient channel attention)."""

    def __init__(self):
        super().__init__()
        self.along = nn.Conv1d(1, 1, 3, padding=1)

    def forward(self, x):
        return self.along(x.mean((2, 3))[:, None])[:, 0, :, None, None].sigmoid() * x


IMAGE, LINE, FLAT, TEXT = (
    torch.zeros(2, 3, 8, 8),
    torch.zeros(2, 3, 8),
    torch.zeros(2, 64),
    torch.zeros(2, 6, dtype=torch.long),
)
patches = [nn.Conv2d(3, 5, 2, stride=2), lambda x: x.flatten(2).transpose(1, 2), nn.Linear(5, 5)]
CASES = {
    "patches of an image": (IMAGE, patches, "image"),
    "an image gated along its channels": (IMAGE, [nn.Conv2d(3, 5, 1), Gated()], "image"),
    "an image averaged over its columns": (IMAGE, [nn.Conv2d(3, 5, 1), lambda x: x.mean(2)], "line"),
    "one plane of an image": (IMAGE, [lambda x: x[:, 0], nn.Linear(8, 8)], ""),
    "a sequence": (LINE, [nn.Conv1d(3, 5, 3), nn.BatchNorm1d(5), nn.MaxPool1d(2)], "line"),
    "features over time": (LINE, [nn.Linear(8, 5), nn.ReLU()], "line"),
    "a spectrogram without channels": (LINE, [lambda x: x[:, None], nn.Conv2d(1, 5, 2), nn.ReLU()], "image"),
    "a wave": (FLAT, [lambda x: x[:, None], nn.Conv1d(1, 5, 4, stride=4), nn.GELU()], "line"),
    "numbers": (FLAT, [lambda x: x.view(-1, 16, 4), nn.Linear(4, 5)], ""),
    "words": (TEXT, [nn.Embedding(9, 5), lambda x: x.transpose(1, 2), nn.Conv1d(5, 5, 1)], "text"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_positions_lie_on(name):
    example, steps, over = CASES[name]
    module = Steps(*steps).eval()
    assert Network(module, example).layer(f"steps.{len(steps) - 1}").over == over
