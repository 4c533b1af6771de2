"""Affine maps of bounded rank: reduced-rank regression (Izenman 1975), every rank from one solve."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import torch
from torch import Tensor, nn

from ..errors import ShapeError
from ..moments.moments import Moments
from .affine import RIDGE, solve_ridge
from .base import Site, Stitcher, apply_linear

RANK = 8


class LowRank(Stitcher):
    """y = U V x + b, with U (q, r) and V (r, p); r is 8 where none is said, or all channels where they are fewer."""

    family = "low-rank"
    invariance = "invertible linear maps and shifts of the bottom's channels"
    invariant = ("linear", "shift")
    solved = "reduced-rank regression: the affine solution projected on the leading directions of its predictions"
    option = "rank"

    def __init__(self, site: Site, up: Tensor, down: Tensor, bias: Tensor) -> None:
        super().__init__(site)
        dtype = torch.get_default_dtype()
        self.up, self.down = nn.Parameter(up.to(dtype)), nn.Parameter(down.to(dtype))
        self.bias = nn.Parameter(bias.to(dtype))

    @classmethod
    def check_site(cls, site: Site, *, rank: int | None = None, **options: Any) -> None:
        _rank(rank, site)

    @classmethod
    def fewest(cls, *, rank: int = 1, **options: Any) -> int:
        return rank + 1

    @classmethod
    def solve(
        cls, moments: Moments, site: Site, *, rank: int | None = None, ridge: float = RIDGE, **options: Any
    ) -> Self:
        """The best map of that rank in squared error.

        Raises:
            ShapeError: if the rank is not between 1 and the number of channels.
        """
        wanted = _rank(rank, site)
        return cls.solve_ranks(moments, site, [wanted], ridge=ridge)[wanted]

    @classmethod
    def solve_ranks(
        cls, moments: Moments, site: Site, ranks: Iterable[int] | None = None, *, ridge: float = RIDGE
    ) -> dict[int, Self]:
        """The best map of every rank (default: all) from one solve, {rank: stitcher}.

        Raises:
            ShapeError, FitError, NonFiniteError: as ``solve``.
        """
        wanted = list(range(1, min(site.p, site.q) + 1) if ranks is None else ranks)
        for rank in wanted:
            _rank(rank, site)
        weight = solve_ridge(moments, ridge)
        basis = prediction_basis(moments, weight)
        down = basis.T @ weight
        found = {}
        for rank in wanted:
            up, low = basis[:, :rank], down[:rank]
            found[rank] = cls(site, up.clone(), low.clone(), moments.mean_y - up @ (low @ moments.mean_x))
        return found

    @classmethod
    def random(cls, site: Site, generator: torch.Generator, *, rank: int | None = None, **options: Any) -> Self:
        rank = _rank(rank, site)
        up = torch.randn(site.q, rank, generator=generator) / rank**0.5
        down = torch.randn(rank, site.p, generator=generator) / site.p**0.5
        return cls(site, up, down, torch.zeros(site.q))

    def affine_form(self) -> tuple[Tensor, Tensor]:
        return self.up.detach().double() @ self.down.detach().double(), self.bias.detach().double()

    def forward(self, x: Tensor) -> Tensor:
        return apply_linear(x, self.up @ self.down, self.bias, self.site.kind)


def prediction_basis(moments: Moments, weight: Tensor) -> Tensor:
    """Orthonormal directions (q, q) of the predictions W x, by decreasing variance: the first r give rank r."""
    _, vectors = torch.linalg.eigh(weight @ moments.xx @ weight.T)
    flipped: Tensor = vectors.flip(1)
    return flipped


def _rank(rank: int | None, site: Site) -> int:
    if rank is None:
        return min(RANK, site.p, site.q)
    if not 1 <= rank <= min(site.p, site.q):
        raise ShapeError(
            f"The rank {rank} does not fit {site.p} -> {site.q} channels: expected 1 to {min(site.p, site.q)}."
        )
    return rank
