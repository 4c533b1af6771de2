"""The plainest networks: of vectors, and of maps of classes."""

from __future__ import annotations

from torch import nn

from .parts import PaddedConv, Residual, chain


def mlp(width: int = 64, depth: int = 3, classes: int = 1, in_channels: int = 10) -> nn.Sequential:
    """layer1 to layerN, head; vectors (n, in_channels) to (n, classes)."""
    parts: list[tuple[str, nn.Module]] = []
    for i in range(depth):
        parts.append((f"layer{i + 1}", nn.Sequential(nn.Linear(width if i else in_channels, width), nn.ReLU())))
    return chain([*parts, ("head", nn.Linear(width, classes))])


def fcn(width: int = 16, blocks: int = 3, classes: int = 3, in_channels: int = 1) -> nn.Sequential:
    """stem, block1 to blockN, head; images (n, in_channels, h, w) of even size to scores (n, classes, h, w).

    The blocks see half the size.
    """
    stem = nn.Sequential(PaddedConv(in_channels, width), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2))
    parts: list[tuple[str, nn.Module]] = [("stem", stem)]
    parts += [(f"block{i + 1}", Residual(width, width)) for i in range(blocks)]
    return chain([*parts, ("head", nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(width, classes, 1)))])
