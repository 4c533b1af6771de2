"""Affine maps: a 1x1 convolution on maps, a linear layer on tokens and vectors, solved by ridge regression."""

from __future__ import annotations

import math
from typing import Any, Self

import torch
from torch import Tensor, nn

from ..errors import FitError
from ..moments.moments import Moments
from ..support.fast.products import spectrum
from .base import Site, Stitcher, apply_linear, need_moments

RIDGE = 1e-6  # relative to the mean eigenvalue: enough to tame collinear channels, far below any effect on the fit
CUTOFF = 1e-10


class Affine(Stitcher):
    """Map by y = W x + b, with W (q, p) and b (q,).

    Args:
        site: channels on both sides, and how the activation lies.
        weight: W, shape (q, p); zeros by default.
        bias: b, shape (q,); zeros by default.

    Examples:
        >>> site = ms.stitchers.Site(2, 1, "vector")
        >>> map_ = ms.stitchers.Affine(site, torch.tensor([[1.0, 2.0]]), torch.tensor([0.5]))
        >>> map_(torch.tensor([[1.0, 1.0]])).item()
        3.5
    """

    family = "affine"
    invariance = "invertible linear maps and shifts of the bottom's channels"
    invariant = ("linear", "shift")
    option, option_is = "ridge", float
    solved = "ridge regression on moments (relative ridge 1e-6, eigenvalues below 1e-10 cut)"

    def __init__(self, site: Site, weight: Tensor | None = None, bias: Tensor | None = None) -> None:
        super().__init__(site)
        weight = torch.zeros(site.q, site.p) if weight is None else weight
        bias = torch.zeros(site.q) if bias is None else bias
        self.weight = nn.Parameter(weight.to(torch.get_default_dtype()).contiguous())
        self.bias = nn.Parameter(bias.to(torch.get_default_dtype()))

    @classmethod
    def solve(cls, moments: Moments, site: Site, *, ridge: float = RIDGE, **options: Any) -> Self:
        """Minimise the mean squared error over the rows.

        Args:
            moments: centred sums over rows (n, p) of the bottom and (n, q) of the top.
            site: channels on both sides, and how the activation lies.
            ridge: strength, relative to the mean eigenvalue of the channels' correlations.
            **options: none but those.

        Returns:
            The stitcher.

        Raises:
            FitError, NonFiniteError: as ``Stitcher.solve``; FitError also for a negative ridge.

        Examples:
            >>> moments, site = ms.moments.Moments.of(x, y), ms.stitchers.Site(4, 3, "vector")
            >>> ms.stitchers.Affine.solve(moments, site, ridge=0.1).weight.shape
            torch.Size([3, 4])
        """
        weight = solve_ridge(moments, ridge)
        return cls(site, weight, moments.mean_y - weight @ moments.mean_x)

    @classmethod
    def invariances(cls, *, ridge: float = RIDGE, **options: Any) -> tuple[str, ...]:
        # A penalty that is felt tells directions apart by their variance.
        return cls.invariant if ridge <= RIDGE else ("shift", "channel scales")

    @classmethod
    def random(cls, site: Site, generator: torch.Generator, **options: Any) -> Self:
        bound = 1 / math.sqrt(site.p)
        draw = torch.empty(site.q, site.p + 1).uniform_(-bound, bound, generator=generator)
        return cls(site, draw[:, 1:], draw[:, 0])

    def affine_form(self) -> tuple[Tensor, Tensor]:
        return self.weight.detach().double(), self.bias.detach().double()

    def forward(self, x: Tensor) -> Tensor:
        return apply_linear(x, self.weight, self.bias, self.site.kind)


def solve_ridge(moments: Moments, ridge: float = RIDGE) -> Tensor:
    """W (q, p) minimising |Y - X W'|^2 + penalty, from centred sums; dead and collinear channels are safe.

    Channels are scaled to unit variance first, so that ridge and cutoff do not depend on units; a channel without
    variance gets weight 0.

    Raises:
        FitError, NonFiniteError: too few rows, sums that are not finite, or a ridge below 0.
    """
    if not (math.isfinite(ridge) and ridge >= 0):
        raise FitError(f"The ridge strength {ridge} cannot be used: expected 0 or a positive number.")
    known = moments.known[0]  # of the bottom's layer, whatever the top's
    if "spectrum" not in known:
        known["spectrum"] = scaled_spectrum(moments, few=True)
    values, vectors, scale = known["spectrum"]
    kept = values > CUTOFF * values.max().clamp(min=torch.finfo(values.dtype).tiny)
    mean = values.clamp(min=0).sum() / len(scale)
    inverse = torch.where(kept, 1 / (values + ridge * mean), 0)
    projected = vectors.T @ (scale[:, None] * moments.xy)
    solution: Tensor = scale[:, None] * (vectors @ (inverse[:, None] * projected))
    return solution.T


def scaled_spectrum(moments: Moments, *, few: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Eigenvalues, eigenvectors (columns) of the correlation sums of x, and each channel's 1/std (0: dead).

    Args:
        few: of sums of few rows, only what is not zero.
    """
    need_moments(moments)
    scale = inverse_spread(moments.xx.diagonal() / moments.n, moments.mean_x)
    correlation = scale[:, None] * (moments.xx / moments.n) * scale
    values, vectors = spectrum(correlation, moments.n) if few else torch.linalg.eigh(correlation)
    return values * moments.n, vectors, scale


def inverse_spread(variance: Tensor, mean: Tensor) -> Tensor:
    """1 / std of each channel; 0 where it is dead, since its spread is rounding noise of its own mean."""
    floor = (torch.finfo(variance.dtype).eps * mean.abs().clamp(min=1e-12)) ** 2
    return torch.where(variance > floor, variance.clamp(min=torch.finfo(variance.dtype).tiny).rsqrt(), 0)
