"""Thin, deep ResNets for CIFAR: 6n + 2 layers (He et al. 2016a), pre-activation ResNet-164 (2016b)."""

from __future__ import annotations

from torch import nn

from .parts import PaddedConv, PreActivated, Residual, chain, pooled


def resnet(depth: int = 20, width: int = 16, classes: int = 10, in_channels: int = 3) -> nn.Sequential:
    """stem, block1 to block3n, pool, head; images (n, in_channels, 32, 32) to logits (n, classes).

    Three stages of n = (depth - 2) / 6 blocks with ``width``, 2 and 4 times as many channels. Shortcuts that
    change the shape are 1x1 convolutions (the article's option B).
    """
    stem = nn.Sequential(PaddedConv(in_channels, width), nn.BatchNorm2d(width), nn.ReLU())
    parts: list[tuple[str, nn.Module]] = [("stem", stem)]
    inputs, n = width, (depth - 2) // 6
    for i in range(3 * n):
        stage, first = divmod(i, n)
        outputs = width * 2**stage
        parts.append((f"block{i + 1}", Residual(inputs, outputs, 2 if stage and not first else 1)))
        inputs = outputs
    return chain([*parts, ("pool", pooled()), ("head", nn.Linear(inputs, classes))])


def resnet164(width: int = 16, classes: int = 10, in_channels: int = 3) -> nn.Sequential:
    """stem, block1 to block54 (bottlenecks of 4, 8 and 16 times ``width`` channels), norm, pool, head."""
    parts: list[tuple[str, nn.Module]] = [("stem", PaddedConv(in_channels, width))]
    inputs = width
    for i in range(54):
        stage, first = divmod(i, 18)
        outputs = 4 * width * 2**stage
        stride = 2 if stage and not first else 1
        parts.append((f"block{i + 1}", PreActivated(inputs, outputs, stride, bottleneck=True)))
        inputs = outputs
    norm = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU())
    return chain([*parts, ("norm", norm), ("pool", pooled()), ("head", nn.Linear(inputs, classes))])
