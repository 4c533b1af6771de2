"""The architectures of the weights in this folder, under the names that their authors gave the tensors."""

from __future__ import annotations

from torch import Tensor, nn


class Plain(nn.Module):
    """Eight convolutions, each with its norm, then a mean over positions: images (n, 3, 32, 32) to 10 logits."""

    def __init__(self) -> None:
        super().__init__()
        channels = (3, 16, 16, 32, 32, 32, 64, 64, 64)
        for i in range(1, 9):
            kernel, stride = (1 if i == 8 else 3), (2 if i in (3, 6) else 1)
            setattr(self, f"conv{i}", nn.Conv2d(channels[i - 1], channels[i], kernel, stride))
            setattr(self, f"bn{i}", nn.BatchNorm2d(channels[i]))
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        for i in range(1, 9):
            x = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x)).relu()
        return self.fc(x.mean((2, 3)))


def plain() -> nn.Module:
    return Plain()


class Block(nn.Module):
    """A residual block whose shortcut takes every second position and pads the new channels with zeros."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.stride, self.more = stride, (outputs - inputs) // 2

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        if self.stride > 1:
            x = nn.functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more, self.more))
        return (y + x).relu()


class ResNet(nn.Module):
    """6n + 2 layers (He et al. 2016, section 4.2): images (n, 3, 32, 32) to 10 logits."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Block(16, 16, 1) for _ in range(blocks)))
        self.layer2 = nn.Sequential(*(Block(32 if i else 16, 32, 1 if i else 2) for i in range(blocks)))
        self.layer3 = nn.Sequential(*(Block(64 if i else 32, 64, 1 if i else 2) for i in range(blocks)))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x)).relu()
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


def resnet44() -> nn.Module:
    return ResNet(7)


def resnet56() -> nn.Module:
    return ResNet(9)
