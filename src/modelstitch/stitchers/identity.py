"""No map at all: the activation itself."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor

from ..moments.moments import Moments
from .base import Site, Stitcher, need_equal


class Identity(Stitcher):
    """x -> x, the input tensor itself. The control that shows what a map is worth."""

    family = "identity"
    invariance = "none"
    solved = "nothing to solve"
    trainable = False
    solves = False

    def __init__(self, site: Site) -> None:
        need_equal(site, self.family)
        super().__init__(site)

    @classmethod
    def check_site(cls, site: Site, **options: Any) -> None:
        need_equal(site, cls.family)

    @classmethod
    def solve(cls, moments: Moments, site: Site, **options: Any) -> Self:
        return cls(site)

    def affine_form(self) -> tuple[Tensor, Tensor]:
        return torch.eye(self.site.q, dtype=torch.float64), torch.zeros(self.site.q, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return x
