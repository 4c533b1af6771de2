"""Rotations and permutations of channels, with and without scales: solved by Procrustes and by assignment.

Between unequal widths a rotation is that of the narrower side padded with zeros: its columns, or its rows, are
orthonormal.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from ..moments.moments import Moments
from .affine import RIDGE, inverse_spread, solve_ridge
from .base import Site, Stitcher, apply_linear, need_equal, need_moments


class _Fixed(Stitcher):
    """y = c R (x - mean_x) + mean_y with R (q, p) solved and not trained."""

    trainable = False

    def __init__(self, site: Site, weight: Tensor | None = None, bias: Tensor | None = None) -> None:
        super().__init__(site)
        dtype = torch.get_default_dtype()
        self.weight: Tensor
        self.bias: Tensor
        self.register_buffer("weight", (torch.eye(site.q, site.p) if weight is None else weight).to(dtype))
        self.register_buffer("bias", (torch.zeros(site.q) if bias is None else bias).to(dtype))

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
        need_moments(moments)
        return cls._centred(moments, site, _nearest(moments.xy.T))

    @property
    def parameter_count(self) -> int:
        wide, narrow = max(self.site.p, self.site.q), min(self.site.p, self.site.q)
        return wide * narrow - narrow * (narrow + 1) // 2 + self.site.q


class ScaledOrthogonal(Orthogonal):
    """The rotation with one common scale nearest to the top's activations."""

    family = "scaled-orthogonal"
    invariance = "orthogonal maps, shifts and one common scale of the bottom's channels"
    invariant = ("orthogonal", "permutation", "scale", "shift")
    solved = "orthogonal Procrustes with scale: SVD of the cross-covariance"

    @classmethod
    def solve(cls, moments: Moments, site: Site, **options: Any) -> Self:
        need_moments(moments)
        rotation = _nearest(moments.xy.T)
        both = (rotation * moments.xy.T).sum()
        spread = ((rotation @ moments.xx) * rotation).sum()  # of what is left where the top is narrower
        scale = both / spread if spread > 0 else torch.ones_like(both)
        return cls._centred(moments, site, scale * rotation)

    @property
    def parameter_count(self) -> int:
        return super().parameter_count + 1


class LOrtho(Orthogonal):
    """The rotation nearest to the least-squares map (Maiorca et al. 2023)."""

    family = "l-ortho"
    option, option_is = "ridge", float
    solved = "ridge regression on moments, then the rotation nearest to its matrix"

    @classmethod
    def solve(cls, moments: Moments, site: Site, *, ridge: float = RIDGE, **options: Any) -> Self:
        """Solve the rotation.

        Args:
            moments: centred sums over rows.
            site: channels on both sides.
            ridge: strength of the least squares, as of ``Affine.solve``.
            **options: none but those.

        Returns:
            The stitcher.

        Raises:
            FitError, NonFiniteError: as ``Affine.solve``.
        """
        return cls._centred(moments, site, _nearest(solve_ridge(moments, ridge)))


class StandardOrthogonal(Orthogonal):
    """The rotation between channels scaled to unit variance on both sides (Maiorca et al. 2023)."""

    family = "standard-orthogonal"
    invariance = "shifts and scales of the bottom's single channels, and their permutations"
    invariant = ("permutation", "scale", "channel scales", "shift")
    solved = "orthogonal Procrustes of standardised channels: SVD of their cross-correlation"

    @classmethod
    def solve(cls, moments: Moments, site: Site, **options: Any) -> Self:
        need_moments(moments)
        below, above = (
            inverse_spread(square.diagonal() / moments.n, mean)
            for square, mean in ((moments.xx, moments.mean_x), (moments.yy, moments.mean_y))
        )
        rotation = _nearest(above[:, None] * moments.xy.T / moments.n * below)
        spread = torch.where(above > 0, 1 / above, 0)
        return cls._centred(moments, site, spread[:, None] * rotation * below)

    @property
    def parameter_count(self) -> int:
        return super().parameter_count + self.site.p + self.site.q


class Permutation(_Fixed):
    """The permutation of channels with the largest total covariance with the top's (linear assignment)."""

    family = "permutation"
    invariance = "permutations and shifts of the bottom's channels"
    invariant: ClassVar[tuple[str, ...]] = ("permutation", "shift")
    solved = "linear assignment on the cross-covariance"

    @classmethod
    def check_site(cls, site: Site, **options: Any) -> None:
        need_equal(site, cls.family)

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


def _nearest(matrix: Tensor) -> Tensor:
    """The matrix of the same shape (q, p) with orthonormal rows or columns that is nearest to this one."""
    u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
    found: Tensor = u @ vt
    return found
