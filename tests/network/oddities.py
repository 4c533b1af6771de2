"""Networks whose forward does something unusual: constants, values as numbers, transforms, odd names."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Likes(nn.Module):
    """Tensors made in forward that need only the shape of a value of the sample."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.mix, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.fc1(x)
        state, bias = torch.zeros_like(h), h.new_ones(h.size(0), 6)
        rest = torch.full_like(x, 0.5) + x.new_zeros(x.shape) + torch.empty_like(x).fill_(2.0)
        h = self.mix(h) + state + bias
        return self.head(h.tanh() + rest)


class Regions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            h = self.fc1(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            h = self.fc2(h)
        with torch.autocast("cpu", enabled=False):
            h = self.fc3(h.float())
        return self.head(h)


class Fourier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.spectrum, self.head = nn.Linear(6, 6), Spectrum(), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.fft.irfft(self.spectrum(self.fc(x)), n=6))


class Spectrum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Parameter(torch.randn(4, dtype=torch.complex64))

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.rfft(x) * self.filter


class Constants(nn.Module):
    """Buffers, plain tensor attributes and a constant made in forward."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.arange(1.0, 7.0))
        self.register_buffer("hidden", torch.randn(6), persistent=False)
        self.plain = torch.randn(6)
        self.fc1, self.fc2 = nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.fc1(x * self.scale) + self.plain + torch.tensor([1.0, 2, 3, 4, 5, 6])
        return self.fc2(h * self.hidden)


class Item(nn.Module):
    """A number read off the sample goes round the layers."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        size = x.abs().max().item()
        return self.fc2(self.fc1(x)) * size


class Windows(nn.Module):
    """The batch is folded with windows inside, and the odd size 3 * batch + 1 occurs."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.inner, self.head = nn.Linear(2, 6), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.inner(self.fc(x.view(-1, 2)))
        padded = torch.cat([h, h.new_zeros(1, 6)])
        h = padded + torch.zeros(padded.size(0), 6)
        return self.head(h[:-1].view(x.size(0), 3, 6).mean(1))


class OddName(nn.Module):
    """Names that a traced graph module uses itself."""

    def __init__(self) -> None:
        super().__init__()
        self.graph, self.meta, self.code = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.code(self.meta(self.graph(x)))


class DeadNoise(nn.Module):
    """Random numbers are drawn, but the chosen output does not see them."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.spread, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.mean(x)
        return self.head(mean), mean + self.spread(x) * torch.randn_like(mean)


class Square(nn.Module):
    """A side input whose first size is by chance the batch size of the example."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.fc, self.head = nn.Embedding(11, 6), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        h = self.embed(ids)
        h = torch.matmul(mask, self.fc(h)) + h
        return self.head(h.mean(1))


class DropoutReader(nn.Module):
    """Reads attributes of its dropout modules."""

    def __init__(self) -> None:
        super().__init__()
        self.drop, self.fc, self.head = nn.Dropout(0.2), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.dropout(self.fc(x), self.drop.p, self.training))


class StochasticDepth(nn.Module):
    """Scales its branch by the chance of survival in eval mode (Huang et al. 2016), under the name of torchvision's."""

    def __init__(self, branch: nn.Module, p: float) -> None:
        super().__init__()
        self.branch, self.p = branch, p

    def forward(self, x: Tensor) -> Tensor:
        return x + (1 - self.p) * self.branch(x)


class ScaledDropout(nn.Dropout):
    """As before 2014: inputs are scaled where nothing is dropped."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if self.training else x * (1 - self.p)


def odd_dropouts() -> nn.Module:
    """Modules that are named, or made, like dropout, and do something in eval mode."""
    hooked = nn.Dropout(0.1)
    hooked.register_forward_hook(lambda module, args, result: result * 2)
    return nn.Sequential(
        nn.Linear(6, 6),
        StochasticDepth(nn.Linear(6, 6), 0.2),
        ScaledDropout(0.5),
        nn.Linear(6, 6),
        hooked,
        nn.Linear(6, 4),
    )


class Select(nn.Module):
    """Shapes that depend on values: the rows above a threshold."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.head = nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        h, above = self.fc(x), (x.sum(1) > 0).nonzero()[:, 0]
        return self.head(h.index_add(0, above, h[above]))
