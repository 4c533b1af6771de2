"""Affine stitchers in whitened coordinates: the same map, but every direction of the activations is as easy to turn."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..moments import Moments
from ..stitchers import Affine
from ..stitchers.affine import scaled_spectrum
from ..stitchers.base import apply_linear

FLOOR = 1e-4  # relative to the mean eigenvalue: directions below it carry no signal worth amplifying


class WhitenedAffine(nn.Module):
    """y = S (V P (x - mean_x) + c) + mean_y: P whitens x, S is the spread of y; V (q, k) and c (q,) are trained."""

    mean_x: Tensor
    mean_y: Tensor
    whitener: Tensor
    spread: Tensor

    def __init__(self, affine: Affine, moments: Moments) -> None:
        super().__init__()
        self.site = affine.site
        n = moments.n
        values, vectors, scale = scaled_spectrum(moments)
        values = values / n
        mean = values.clamp(min=0).mean()
        kept = values > 1e-9 * mean
        root = (values[kept] + FLOOR * mean).sqrt()
        whitener = (vectors[:, kept] / root).T * scale
        spread = (moments.yy.diagonal() / n).sqrt()
        spread = torch.where(spread > 0, spread, torch.ones_like(spread))
        weight, bias = affine.weight.detach().to(whitener), affine.bias.detach().to(whitener)
        # W = S V P, exact on the directions that are kept; P has full row rank, so V = W P+ / S.
        start = weight @ torch.linalg.pinv(whitener) / spread[:, None]
        offset = (bias + weight @ moments.mean_x - moments.mean_y) / spread
        dtype = torch.get_default_dtype()
        self.core = nn.Parameter(start.to(dtype))
        self.offset = nn.Parameter(offset.to(dtype))
        for name, value in (("mean_x", moments.mean_x), ("mean_y", moments.mean_y)):
            self.register_buffer(name, value.to(dtype))
        self.register_buffer("whitener", whitener.to(dtype))
        self.register_buffer("spread", spread.to(dtype))

    def effective(self) -> tuple[Tensor, Tensor]:
        """W (q, p) and b (q,) of the plain affine map."""
        weight = self.spread[:, None] * (self.core @ self.whitener)
        return weight, self.spread * self.offset + self.mean_y - weight @ self.mean_x

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.effective()
        return apply_linear(x, weight, bias, self.site.kind)

    def plain(self) -> Affine:
        """The same map as an ordinary affine stitcher."""
        with torch.no_grad():
            weight, bias = self.effective()
        return Affine(self.site, weight.cpu(), bias.cpu()).to(weight.device).eval()
