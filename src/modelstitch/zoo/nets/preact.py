"""Pre-activation ResNet-18 for small images, the network of the paper's CIFAR experiments."""

from __future__ import annotations

from torch import nn

from .parts import PaddedConv, PreActivated, chain, pooled


def preact_resnet18(width: int = 64, classes: int = 10, in_channels: int = 3) -> nn.Sequential:
    """stem, block1 to block8, pool, head; images (n, in_channels, 32, 32) to logits (n, classes).

    As in the paper's code there is no norm and no activation between the last block and the pool.
    ``width`` is the number of filters of the first convolution (64 in the paper; 128 is its "2x").
    """
    parts: list[tuple[str, nn.Module]] = [("stem", PaddedConv(in_channels, width))]
    inputs = width
    for i in range(8):
        stage, first = divmod(i, 2)
        outputs = width * 2**stage
        stride = 2 if stage and not first else 1
        parts.append((f"block{i + 1}", PreActivated(inputs, outputs, stride)))
        inputs = outputs
    return chain([*parts, ("pool", pooled()), ("head", nn.Linear(inputs, classes))])
