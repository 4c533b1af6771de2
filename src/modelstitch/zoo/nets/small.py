"""A small residual convnet for 8x8 images: the donor of the demo."""

from __future__ import annotations

from torch import nn

from .parts import PaddedConv, Residual, chain, pooled


def small_resnet(width: int = 32, blocks: int = 5, classes: int = 10, in_channels: int = 1) -> nn.Sequential:
    """stem, block1 to blockN, pool, head; images (n, in_channels, 8, 8) to logits (n, classes).

    The first two blocks keep the size and ``width``; the third halves the size and doubles the channels.
    """
    stem = nn.Sequential(PaddedConv(in_channels, width), nn.BatchNorm2d(width), nn.ReLU())
    parts: list[tuple[str, nn.Module]] = [("stem", stem)]
    inputs = width
    for i in range(blocks):
        outputs = width if i < 2 else 2 * width
        parts.append((f"block{i + 1}", Residual(inputs, outputs, 2 if i == 2 else 1)))
        inputs = outputs
    return chain([*parts, ("pool", pooled()), ("head", nn.Linear(inputs, classes))])
