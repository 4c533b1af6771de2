"""A convolution of k x k on maps, of k on sequences, of k x k x k on volumes.

The paper's question whether a wider kernel helps (Bansal et al. 2021, B.1).
"""

from __future__ import annotations

import math
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ShapeError
from ..moments.moments import Moments
from ..network import CHANNEL_AXIS
from .affine import Affine
from .base import Site, Stitcher

_SIZES = {"sequence": 1, "map": 2, "grid": 2, "volume": 3, "lattice": 3}  # how many sizes the positions have, by kind


class Conv(Stitcher):
    """y = K * x + b with K (q, p, k, k), on sequences (q, p, k), on volumes (q, p, k, k, k); zero padding k // 2."""

    family = "conv"
    invariance = "invertible linear maps of the bottom's channels, the same at every position"
    invariant = ("linear",)
    solved = "started with the affine least-squares solution in the centre of the kernel, then fitted"
    option = "kernel"
    closed = False

    def __init__(self, site: Site, weight: Tensor, bias: Tensor) -> None:
        super().__init__(site)
        dtype = torch.get_default_dtype()
        self.weight, self.bias = nn.Parameter(weight.to(dtype)), nn.Parameter(bias.to(dtype))

    @classmethod
    def check_site(cls, site: Site, *, kernel: int = 3, **options: Any) -> None:
        _check(kernel, site)

    @classmethod
    def solve(cls, moments: Moments, site: Site, *, kernel: int = 3, **options: Any) -> Self:
        """The affine solution in the kernel's centre.

        Raises:
            ShapeError: if the site is neither a map nor a sequence, or the kernel size is not odd.
        """
        _check(kernel, site)
        closed = Affine.solve(moments, site)
        size = _size(kernel, site)
        weight = torch.zeros(site.q, site.p, *size, dtype=closed.weight.dtype)
        weight.flatten(2)[:, :, math.prod(size) // 2] = closed.weight.detach()  # the centre, since sizes are odd
        return cls(site, weight, closed.bias.detach())

    @classmethod
    def random(cls, site: Site, generator: torch.Generator, *, kernel: int = 3, **options: Any) -> Self:
        _check(kernel, site)
        size = _size(kernel, site)
        bound = 1 / math.sqrt(site.p * math.prod(size))
        weight = torch.empty(site.q, site.p, *size).uniform_(-bound, bound, generator=generator)
        return cls(site, weight, torch.empty(site.q).uniform_(-bound, bound, generator=generator))

    def affine_form(self) -> tuple[Tensor, Tensor] | None:
        if self.weight.shape[-1] != 1:
            return None  # it mixes positions
        return self.weight.detach().flatten(1).double(), self.bias.detach().double()

    def forward(self, x: Tensor) -> Tensor:
        padding = self.weight.shape[-1] // 2
        last = CHANNEL_AXIS[self.site.kind] > 1
        convolve = (F.conv1d, F.conv2d, F.conv3d)[_SIZES[self.site.kind] - 1]
        y = convolve(x.movedim(-1, 1) if last else x, self.weight, self.bias, padding=padding)
        return y.movedim(1, -1) if last else y


def _size(kernel: int, site: Site) -> tuple[int, ...]:
    return (kernel,) * _SIZES[site.kind]


def _check(kernel: int, site: Site) -> None:
    if site.kind not in _SIZES:
        raise ShapeError(
            f"The family 'conv' needs a map with height and width, a sequence or a volume, found {site.kind}; use "
            f"'affine' or 'mlp'."
        )
    if kernel < 1 or kernel % 2 == 0:
        raise ShapeError(f"The kernel size {kernel} cannot keep the size of a map: expected an odd number.")
