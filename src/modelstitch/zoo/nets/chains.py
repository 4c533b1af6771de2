"""Convnets without shortcuts: the Myrtle CNN of the paper, and VGG with batch normalisation."""

from __future__ import annotations

from torch import nn

from .parts import PaddedConv, chain, pooled

_VGG = {11: (1, 1, 2, 2, 2), 16: (2, 2, 3, 3, 3)}  # convolutions in each of the five stages


def myrtle(width: int = 64, classes: int = 10, in_channels: int = 3) -> nn.Sequential:
    """conv1, act1, ... conv5, act5, pool, head; images (n, in_channels, 32, 32) to logits (n, classes).

    Five 3x3 convolutions of 1, 2, 4, 8 and 16 times ``width`` channels. An ``act`` is norm and ReLU, from the
    second to the fourth with 2x2 max pooling, so that the paper's cuts (between conv and norm) are visible.
    """
    parts: list[tuple[str, nn.Module]] = []
    inputs = in_channels
    for i in range(5):
        outputs = width * 2**i
        steps: list[nn.Module] = [nn.BatchNorm2d(outputs), nn.ReLU()]
        if 1 <= i <= 3:
            steps.append(nn.MaxPool2d(2))
        parts += [(f"conv{i + 1}", PaddedConv(inputs, outputs)), (f"act{i + 1}", nn.Sequential(*steps))]
        inputs = outputs
    pool = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten())
    return chain([*parts, ("pool", pool), ("head", nn.Linear(inputs, classes))])


def vgg(depth: int = 11, width: int = 64, classes: int = 10, in_channels: int = 3) -> nn.Sequential:
    """block1 to blockN (convolution, norm, ReLU; the last of a stage halves the size), pool, head.

    Simonyan and Zisserman (2015), for images (n, in_channels, 32, 32), with one linear layer as its head.
    """
    parts: list[tuple[str, nn.Module]] = []
    inputs = in_channels
    for stage, convs in enumerate(_VGG[depth]):
        outputs = width * min(2**stage, 8)
        for i in range(convs):
            steps: list[nn.Module] = [PaddedConv(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU()]
            if i == convs - 1:
                steps.append(nn.MaxPool2d(2))
            parts.append((f"block{len(parts) + 1}", nn.Sequential(*steps)))
            inputs = outputs
    return chain([*parts, ("pool", pooled()), ("head", nn.Linear(inputs, classes))])
