"""Rotations and permutations of channels, with and without scales: solved by Procrustes and by assignment."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from ..moments.moments import Moments
from .base import Site, Stitcher, apply_linear, need_equal, need_moments


class _Fixed(Stitcher):
    """y = c R (x - mean_x) + mean_y with R (q, p) solved and not trained."""

    trainable = False

    def __init__(self, site: Site, weight: Tensor | None = None, bias: Tensor | None = None) -> None:
        need_equal(site, self.family)
        super().__init__(site)
        dtype = torch.get_default_dtype()
        self.weight: Tensor
        self.bias: Tensor
        self.register_buffer("weight", (torch.eye(site.q) if weight is None else weight).to(dtype))
        self.register_buffer("bias", (torch.zeros(site.q) if bias is None else bias).to(dtype))

    @classmethod
    def check_site(cls, site: Site, **options: Any) -> None:
        need_equal(site, cls.family)

    @classmethod
    def _centred(cls, moments: Moments, site: Site, weight: Tensor) -> Self:
        return cls(site, weight, moments.mean_y - weight @ moments.mean_x)

    def affine_form(self) -> tuple[Tensor, Tensor]:
        return self.weight.double(), self.bias.double()

    def forward(self, x: Tensor) -> Tensor:
        return apply_linear(x, self.weight, self.bias, self.site.kind)


class Orthogonal(_Fixed):
    """The rotation (or reflection) nearest to the top's activations (Schoenemann 1966)."""

    family = "orthogonal"
    invariance = "orthogonal maps and shifts of the bottom's channels"
    invariant: ClassVar[tuple[str, ...]] = ("orthogonal", "permutation", "shift")
    solved = "orthogonal Procrustes: SVD of the cross-covariance"

    @classmethod
    def solve(cls, moments: Moments, site: Site, **options: Any) -> Self:
        need_equal(site, cls.family)
        rotation, _ = _rotation(moments)
        return cls._centred(moments, site, rotation)

    @property
    def parameter_count(self) -> int:
        return self.site.q * (self.site.q - 1) // 2 + self.site.q


class ScaledOrthogonal(Orthogonal):
    """The rotation with one common scale nearest to the top's activations."""

    family = "scaled-orthogonal"
    invariance = "orthogonal maps, shifts and one common scale of the bottom's channels"
    invariant = ("orthogonal", "permutation", "scale", "shift")
    solved = "orthogonal Procrustes with scale: SVD of the cross-covariance"

    @classmethod
    def solve(cls, moments: Moments, site: Site, **options: Any) -> Self:
        need_equal(site, cls.family)
        rotation, nuclear = _rotation(moments)
        spread = moments.xx.diagonal().sum()
        scale = nuclear / spread if spread > 0 else torch.ones_like(nuclear)
        return cls._centred(moments, site, scale * rotation)

    @property
    def parameter_count(self) -> int:
        return super().parameter_count + 1


class Permutation(_Fixed):
    """The permutation of channels with the largest total covariance with the top's (linear assignment)."""

    family = "permutation"
    invariance = "permutations and shifts of the bottom's channels"
    invariant: ClassVar[tuple[str, ...]] = ("permutation", "shift")
    solved = "linear assignment on the cross-covariance"

    @classmethod
    def solve(cls, moments: Moments, site: Site, **options: Any) -> Self:
        from scipy.optimize import linear_sum_assignment

        need_equal(site, cls.family)
        need_moments(moments)
        gain, scale = cls._gain(moments)
        above, below = (torch.as_tensor(i) for i in linear_sum_assignment(gain.cpu().numpy(), maximize=True))
        weight = torch.zeros_like(gain)
        weight[above, below] = scale[above, below]
        return cls._centred(moments, site, weight)

    @classmethod
    def _gain(cls, moments: Moments) -> tuple[Tensor, Tensor]:
        """What each pair (top channel, bottom channel) takes off the squared error, up to a constant, and its scale."""
        gain = moments.xy.T.contiguous()
        return gain, torch.ones_like(gain)

    @property
    def parameter_count(self) -> int:
        return 2 * self.site.q  # which channel, and the shift


class ScaledPermutation(Permutation):
    """A permutation with a scale of 0 or more for each channel: what a ReLU network's own symmetries can undo."""

    family = "scaled-permutation"
    invariance = "permutations, positive scales and shifts of the bottom's channels"
    invariant = ("permutation", "channel scales", "scale", "shift")
    solved = "linear assignment on the variance that each channel explains in each other"

    @classmethod
    def _gain(cls, moments: Moments) -> tuple[Tensor, Tensor]:
        variance = moments.xx.diagonal()
        alive = variance > (torch.finfo(variance.dtype).eps * moments.mean_x.abs()) ** 2 * moments.n
        cross = torch.where(alive, moments.xy.T.clamp(min=0), 0)
        scale = cross / torch.where(alive, variance, 1)
        return cross * scale, scale

    @property
    def parameter_count(self) -> int:
        return 3 * self.site.q


def _rotation(moments: Moments) -> tuple[Tensor, Tensor]:
    need_moments(moments)
    u, s, vt = torch.linalg.svd(moments.xy.T)
    return u @ vt, s.sum()
