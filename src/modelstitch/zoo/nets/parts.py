"""Parts that the convnets of the zoo share."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn


class PaddedConv(nn.Conv2d):
    """A padded convolution without bias, initialised as He et al. (2015) do; so re-initialised, too."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, bias=False)

    def reset_parameters(self) -> None:
        """Draw the weights anew, normal with variance 2 / fan-out."""
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")


class Residual(nn.Module):
    """Post-activation residual block (He et al. 2016a) of two 3x3 convolutions."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.norm1 = PaddedConv(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.norm2 = PaddedConv(outputs, outputs), nn.BatchNorm2d(outputs)
        same = stride == 1 and inputs == outputs
        self.shortcut = (
            nn.Identity() if same else nn.Sequential(PaddedConv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        y = self.norm1(self.conv1(x)).relu()
        out: Tensor = (self.norm2(self.conv2(y)) + self.shortcut(x)).relu()
        return out


class PreActivated(nn.Module):
    """Pre-activation residual block (He et al. 2016b) of two 3x3 convolutions, or of three as a bottleneck.

    Where the shape changes, the shortcut is a 1x1 convolution of the activated input.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, *, bottleneck: bool = False) -> None:
        super().__init__()
        inner = outputs // 4 if bottleneck else outputs
        kernels = (1, 3, 1) if bottleneck else (3, 3)
        widths = (inputs, *[inner] * (len(kernels) - 1), outputs)
        strided = 1 if bottleneck else 0
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths[:-1])
        self.convs = nn.ModuleList(
            PaddedConv(widths[i], widths[i + 1], kernel, stride if i == strided else 1)
            for i, kernel in enumerate(kernels)
        )
        changes = stride != 1 or inputs != outputs
        self.shortcut = PaddedConv(inputs, outputs, 1, stride) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        y = self.norms[0](x).relu()
        skip = x if self.shortcut is None else self.shortcut(y)
        y = self.convs[0](y)
        for norm, conv in zip(list(self.norms)[1:], list(self.convs)[1:]):
            y = conv(norm(y).relu())
        out: Tensor = y + skip
        return out


def pooled() -> nn.Sequential:
    """Global average pooling, (n, c, h, w) to (n, c)."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def chain(parts: list[tuple[str, nn.Module]]) -> nn.Sequential:
    """Named parts, one after another."""
    return nn.Sequential(OrderedDict(parts))
