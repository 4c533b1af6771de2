"""The two thought experiments of the paper's section 3 as networks: they compute what the trained one does.

After a block comes a layer "changed", and after it one that undoes it. Cut at "changed", the network delivers the same
information in another form: with a thousand random coordinates beside it, or with its positions in another order.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from ..errors import UnknownLayerError

COORDINATES = 1000


class Appended(nn.Module):
    """Appends standard normal coordinates that depend on the sample, but tell nothing of it that could be used.

    Each is a fixed random combination of the position's own channels, multiplied up until only its fractional part is
    left, then turned into a normal number. The network stays a function of its input.
    """

    def __init__(self, channels: int, count: int = COORDINATES, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("mix", 1e3 * torch.randn(count, channels, 1, 1, generator=generator))
        self.register_buffer("offset", torch.rand(count, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c + count, h, w)."""
        # In double precision, which autocast leaves alone: bfloat16 has no fractional part of a number above 256.
        turned = torch.nn.functional.conv2d(
            x.double(), self.get_buffer("mix").double(), self.get_buffer("offset").double()
        )
        share = (turned - turned.floor()).float().clamp(1e-6, 1 - 1e-6)
        return torch.cat([x, (2**0.5 * torch.erfinv(2 * share - 1)).to(x.dtype)], 1)


class First(nn.Module):
    """The first channels of a map: undoes Appended."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return x[:, : self.channels]


class Ordered(nn.Module):
    """The positions of a map in a fixed order."""

    def __init__(self, order: Tensor) -> None:
        super().__init__()
        self.register_buffer("order", order)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> the same shape."""
        moved: Tensor = x.flatten(2)[:, :, self.get_buffer("order")].view(x.shape)
        return moved


def append_coordinates(module: nn.Module, after: str, *, example: Tensor, count: int = COORDINATES) -> nn.Module:
    """``module`` with random coordinates beside the output of its part ``after``, which the next part does not see."""
    channels = _shape(module, after, example)[0]
    return _inserted(module, after, Appended(channels, count), First(channels))


def shuffle_positions(module: nn.Module, after: str, *, example: Tensor, seed: int = 0) -> nn.Module:
    """``module`` with the positions of its part ``after``'s output in random order, put back for the next part."""
    _, height, width = _shape(module, after, example)
    order = torch.randperm(height * width, generator=torch.Generator().manual_seed(seed))
    return _inserted(module, after, Ordered(order), Ordered(order.argsort()))


def _shape(module: nn.Module, after: str, example: Tensor) -> tuple[int, ...]:
    x = example
    with torch.no_grad():
        for name, part in module.named_children():
            x = part(x)
            if name == after:
                return tuple(x.shape[1:])
    raise UnknownLayerError(
        f"There is no part {after!r}: expected one of {', '.join(n for n, _ in module.named_children())}."
    )


def _inserted(module: nn.Module, after: str, change: nn.Module, undo: nn.Module) -> nn.Module:
    parts: list[tuple[str, nn.Module]] = []
    for name, part in module.named_children():
        parts.append((name, part))
        if name == after:
            parts += [("changed", change), ("undone", undo)]
    return nn.Sequential(OrderedDict(parts)).eval()
