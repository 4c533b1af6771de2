"""What the positions of a layer lie on."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from modelstitch.network import Network
from modelstitch.stitchers import adapter_between
from network.shapes import Steps


class Gated(nn.Module):
    """A map weighed by a convolution along its channels (Wang et al. 2020, efficient channel attention)."""

    def __init__(self):
        super().__init__()
        self.along = nn.Conv1d(1, 1, 3, padding=1)

    def forward(self, x):
        return self.along(x.mean((2, 3))[:, None])[:, 0, :, None, None].sigmoid() * x


class ClassToken(nn.Module):
    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, 5))

    def forward(self, x):
        return torch.cat([self.token.expand(x.shape[0], -1, -1), x.flatten(2).transpose(1, 2)], 1)


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
    "patches mixed by a convolution of width 1": (
        IMAGE,
        [*patches[:1], lambda x: x.flatten(2), nn.Conv1d(5, 7, 1)],
        "image",
    ),
    "columns of a map, its rows among the channels": (
        IMAGE,
        [nn.Conv2d(3, 5, 1), lambda x: x.permute(0, 3, 1, 2).flatten(2), nn.Linear(40, 5)],
        "line",
    ),
    "a map of one row": (IMAGE, [nn.Conv2d(3, 5, (8, 1)), lambda x: x.squeeze(2).transpose(1, 2)], "line"),
    "the largest of each column": (IMAGE, [nn.Conv2d(3, 5, 1), lambda x: x.max(2).values], "line"),
    "a mean kept as an axis": (
        IMAGE,
        [nn.Conv2d(3, 5, 1), lambda x: x.mean(2, keepdim=True), lambda x: x.squeeze(2)],
        "line",
    ),
    "tokens pooled in fours": (
        IMAGE,
        [nn.Conv2d(3, 8, 2, stride=2), lambda x: x.flatten(2).transpose(1, 2), lambda x: x.view(-1, 4, 4, 8).amax(1)],
        "image",
    ),
    "frames, each a vector of its own": (
        torch.zeros(2, 4, 3, 8, 8),
        [lambda x: x.flatten(0, 1), nn.Conv2d(3, 5, 2), lambda x: x.mean((2, 3)).view(-1, 4, 5), nn.Linear(5, 5)],
        "",
    ),
    "tokens as rows of a batch norm": (
        IMAGE,
        [*patches, lambda x: x.flatten(0, 1), nn.BatchNorm1d(5), lambda x: x.view(-1, 16, 5), nn.Linear(5, 5)],
        "image",
    ),
    "an image averaged over its columns": (IMAGE, [nn.Conv2d(3, 5, 1), lambda x: x.mean(2)], "line"),
    "one plane of an image": (IMAGE, [lambda x: x[:, 0], nn.Linear(8, 8)], ""),
    "a sequence": (LINE, [nn.Conv1d(3, 5, 3), nn.BatchNorm1d(5), nn.MaxPool1d(2)], "line"),
    "features over time": (LINE, [nn.Linear(8, 5), nn.ReLU()], "line"),
    "a spectrogram without channels": (LINE, [lambda x: x[:, None], nn.Conv2d(1, 5, 2), nn.ReLU()], "image"),
    "patches of a spectrogram behind a class token": (
        LINE,
        [lambda x: x[:, None], nn.Conv2d(1, 5, 1), ClassToken()],
        "image",
    ),
    "a wave": (FLAT, [lambda x: x[:, None], nn.Conv1d(1, 5, 4, stride=4), nn.GELU()], "line"),
    "numbers": (FLAT, [lambda x: x.view(-1, 16, 4), nn.Linear(4, 5)], ""),
    "words": (TEXT, [nn.Embedding(9, 5), lambda x: x.transpose(1, 2), nn.Conv1d(5, 5, 1)], "text"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_what_positions_lie_on(name):
    example, steps, over = CASES[name]
    module = Steps(*steps).eval()
    module(example)
    assert Network(module, example).layer(f"steps.{len(steps) - 1}").over == over


def test_tokens_lie_in_the_aspect_of_the_last_map():
    example, layers = torch.zeros(2, 3, 8, 32), []
    for patch in (2, 4):
        module = Steps(nn.Conv2d(3, 5, patch, stride=patch), *patches[1:]).eval()
        module(example)
        layers.append(Network(module, example).layer("steps.2"))
    assert (layers[0].shape, layers[0].over, layers[0].grid) == ((64, 5), "image", (4, 16))
    assert adapter_between(*layers).describe() == "resize 4x16 to 2x8 (area down, bilinear up)"
