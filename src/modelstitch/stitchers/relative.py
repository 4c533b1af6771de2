"""Relative representations (Moschella et al. 2023), and the way back from them (Maiorca et al. 2024).

A row is described by its cosines to anchors. Two networks describe it alike, so that the description made of the bottom
can be read by the top: as the direction whose cosines to the top's anchors are nearest to it. With the unit rows A and
B of the anchors on both sides that direction is pinv(B) A x, which the sums of products of A and B hold: no anchor has
to be kept, and every row that is summed is one. What is decoded is as long as the top's rows are on the mean: cosines
say nothing of lengths.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from ..errors import FitError
from ..moments.moments import Moments
from ..network import CHANNEL_AXIS
from .base import Bring, Site, Stitcher, apply_linear, need_moments

CUTOFF = 1e-6  # of the largest eigenvalue of the anchors' products, below which a direction is not described
FLOOR = 1e-2  # of the mean eigenvalue, below which no direction is stretched by whitening
STILL = 1e-30  # variance of rows that never change, which are not stretched beyond what float32 holds


class Relative(Stitcher):
    """y = length * pinv(B) A x / |x|: cosines to the bottom's anchors, read among those of the top."""

    family = "relative"
    invariance = "orthogonal maps and one common scale of the bottom's channels"
    invariant: ClassVar[tuple[str, ...]] = ("orthogonal", "permutation", "scale")
    solved = "inverse relative projection: the pseudo-inverse of the top's anchors on cosines to the bottom's"
    trainable = False

    def __init__(self, site: Site, weight: Tensor) -> None:
        super().__init__(site)
        self.weight: Tensor
        self.register_buffer("weight", weight.to(torch.get_default_dtype()))

    @classmethod
    def brought(cls, moments: Moments, site: Site) -> tuple[Bring, Bring]:
        return unit_and_length, unit_and_length

    @classmethod
    def solve(cls, moments: Moments, site: Site, **options: Any) -> Self:
        """The map of the sums of unit rows.

        Raises:
            FitError: as ``Stitcher.solve``; or there was no second look.
            NonFiniteError: as ``Stitcher.solve``.
        """
        return cls(site, _decoder(_second(moments, cls.family)))

    @property
    def parameter_count(self) -> int:
        return sum(part.numel() for part in self.buffers())

    def forward(self, x: Tensor) -> Tensor:
        return apply_linear(unit(x, CHANNEL_AXIS[self.site.kind]), self.weight, None, self.site.kind)


class WhitenedRelative(Relative):
    """The same between rows that are whitened first, each side by its own sums, and coloured again at the end."""

    family = "relative-whitened"
    invariance = "orthogonal maps, shifts and one common scale of the bottom's channels"
    invariant = ("orthogonal", "permutation", "scale", "shift")
    solved = "inverse relative projection of whitened rows"

    def __init__(self, site: Site, weight: Tensor, bias: Tensor, turn: Tensor, away: Tensor) -> None:
        super().__init__(site, weight)
        self.bias: Tensor
        self.turn: Tensor
        self.away: Tensor
        for name, value in (("bias", bias), ("turn", turn), ("away", away)):
            self.register_buffer(name, value.to(torch.get_default_dtype(), copy=True))

    @classmethod
    def brought(cls, moments: Moments, site: Site) -> tuple[Bring, Bring]:
        need_moments(moments)

        def way(square: Tensor, mean: Tensor) -> Bring:
            turn = whitening(square, moments.n)[0]
            return lambda rows: unit_and_length((rows.to(turn) - mean) @ turn)

        return way(moments.xx, moments.mean_x), way(moments.yy, moments.mean_y)

    @classmethod
    def solve(cls, moments: Moments, site: Site, **options: Any) -> Self:
        again = _second(moments, cls.family)
        turn = whitening(moments.xx, moments.n)[0]
        home = whitening(moments.yy, moments.n)[1]
        return cls(site, home @ _decoder(again), moments.mean_y, turn, -turn @ moments.mean_x.double())

    def forward(self, x: Tensor) -> Tensor:
        kind = self.site.kind
        white = apply_linear(x, self.turn, self.away, kind)
        return apply_linear(unit(white, CHANNEL_AXIS[kind]), self.weight, self.bias, kind)


def unit(x: Tensor, axis: int = -1) -> Tensor:
    """Rows of length 1 along an axis; a row of zeros stays."""
    length = torch.linalg.vector_norm(x, dim=axis, keepdim=True)
    return x / torch.where(length > 0, length, 1)


def unit_and_length(rows: Tensor) -> Tensor:
    """Rows (n, c) brought to length 1, with the length that they had as one column more."""
    length = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    return torch.cat([rows / torch.where(length > 0, length, 1), length], -1)


def directions(moments: Moments) -> Tensor:
    """pinv(B) A (q, p), of the sums of unit rows of both sides."""
    n, mean_x, mean_y = moments.n, moments.mean_x.double(), moments.mean_y.double()
    yy = moments.yy.double() + n * torch.outer(mean_y, mean_y)
    yx = moments.xy.T.double() + n * torch.outer(mean_y, mean_x)
    values, vectors = torch.linalg.eigh(yy)
    kept = values > CUTOFF * values[-1]
    inverse = torch.where(kept, 1 / torch.where(kept, values, 1), 0)
    found: Tensor = vectors @ (inverse[:, None] * (vectors.T @ yx))
    return found


def whitening(square: Tensor, n: float) -> tuple[Tensor, Tensor]:
    """The symmetric matrix that whitens rows with these centred sums, and its inverse."""
    values, vectors = torch.linalg.eigh(square.double() / n)
    values = values.clamp(min=max(FLOOR * float(values.mean()), STILL))
    there, back = ((vectors * values**power) @ vectors.T for power in (-0.5, 0.5))
    return there, back


def _decoder(again: Moments) -> Tensor:
    """The map from unit rows to rows as long as the top's are on the mean, of sums that hold the length last."""
    sides = again.mean_x[:-1], again.mean_y[:-1], again.xx[:-1, :-1], again.yy[:-1, :-1], again.xy[:-1, :-1]
    found: Tensor = again.mean_y[-1] * directions(Moments(again.n, *sides))
    return found


def _second(moments: Moments, family: str) -> Moments:
    need_moments(moments)
    if moments.again is None:
        raise FitError(
            f"The family {family!r} is solved from a second look at the rows: expected moments that hold its sums, "
            "found none; give them by Relative.looked."
        )
    need_moments(moments.again)
    return moments.again
