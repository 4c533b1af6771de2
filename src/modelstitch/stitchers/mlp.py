"""An affine map with one hidden layer beside it: what more capacity buys. A strong map proves little."""

from __future__ import annotations

import math
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..moments.moments import Moments
from .affine import Affine
from .base import Site, Stitcher, apply_linear


class MLP(Stitcher):
    """y = W x + b + U gelu(V z + c), with z the inputs scaled to unit variance and U zero at the start."""

    family = "mlp"
    invariance = "invertible linear maps and shifts of the bottom's channels"
    invariant = ("linear", "shift")
    solved = "started from the affine least-squares solution with a silent hidden layer, then fitted"
    option = "hidden"
    closed = False

    def __init__(self, site: Site, affine: Affine, up: Tensor, down: Tensor, shift: Tensor) -> None:
        super().__init__(site)
        self.affine = affine
        self.up, self.down, self.shift = nn.Parameter(up), nn.Parameter(down), nn.Parameter(shift)

    @classmethod
    def solve(cls, moments: Moments, site: Site, *, hidden: int = 0, seed: int = 0, **options: Any) -> Self:
        hidden = hidden or 2 * max(site.p, site.q)
        variance = (moments.xx.diagonal() / max(moments.n, 1)).cpu().to(torch.get_default_dtype())
        scale = torch.where(variance > 0, variance.clamp(min=1e-30).rsqrt(), 0)
        generator = torch.Generator().manual_seed(seed)
        down = torch.randn(hidden, site.p, generator=generator) / math.sqrt(site.p) * scale
        shift = -down @ moments.mean_x.cpu().to(down)
        return cls(site, Affine.solve(moments, site), torch.zeros(site.q, hidden), down, shift)

    @classmethod
    def random(cls, site: Site, generator: torch.Generator, *, hidden: int = 0, **options: Any) -> Self:
        hidden = hidden or 2 * max(site.p, site.q)
        down = torch.randn(hidden, site.p, generator=generator) / math.sqrt(site.p)
        up = torch.randn(site.q, hidden, generator=generator) / math.sqrt(hidden)
        return cls(site, Affine.random(site, generator), up, down, torch.zeros(hidden))

    def forward(self, x: Tensor) -> Tensor:
        kind = self.site.kind
        hidden = F.gelu(apply_linear(x, self.down, self.shift, kind))
        y: Tensor = self.affine(x) + apply_linear(hidden, self.up, None, kind)
        return y
