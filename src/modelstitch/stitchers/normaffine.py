"""The paper's map: BatchNorm, 1x1 convolution with bias, BatchNorm (Bansal et al. 2021, section 2 and A.4)."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn

from ..errors import FitError
from ..moments.moments import Moments
from ..network import CHANNEL_AXIS
from .affine import Affine
from .base import Site, Stitcher

EPS = 1e-5


class NormAffineNorm(Stitcher):
    """norm -> affine -> norm. While it is fitted both norms use and track batch statistics; at eval it is affine."""

    family = "norm-affine-norm"
    invariance = "invertible linear maps and shifts of the bottom's channels"
    invariant = ("linear", "shift")
    normalised = True
    closed = False
    solved = "started from the affine least-squares solution, then fitted; or from random as in the paper"

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.norm_in = nn.BatchNorm1d(site.p, eps=EPS)
        self.affine = Affine(site)
        self.norm_out = nn.BatchNorm1d(site.q, eps=EPS)

    @classmethod
    def solve(cls, moments: Moments, site: Site, **options: Any) -> Self:
        """The least-squares affine map written as norm-affine-norm, running statistics included."""
        self = cls(site)
        closed = Affine.solve(moments, site, **options)
        n = max(moments.n, 1)
        weight = closed.weight.detach().to(moments.xx.dtype)
        var_x = moments.xx.diagonal() / n
        var_y = ((weight @ moments.xx) * weight).sum(1) / n
        with torch.no_grad():
            self.norm_in.running_mean.copy_(moments.mean_x)  # type: ignore[union-attr]
            self.norm_in.running_var.copy_(var_x)  # type: ignore[union-attr]
            self.affine.weight.copy_(weight * (var_x + EPS).sqrt())
            self.affine.bias.copy_(moments.mean_y)
            self.norm_out.running_mean.copy_(moments.mean_y)  # type: ignore[union-attr]
            self.norm_out.running_var.copy_(var_y)  # type: ignore[union-attr]
            self.norm_out.weight.copy_((var_y + EPS).sqrt())
            self.norm_out.bias.copy_(moments.mean_y)
        return self

    @classmethod
    def random(cls, site: Site, generator: torch.Generator, **options: Any) -> Self:
        self = cls(site)
        self.affine = Affine.random(site, generator)
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self._norm(self.norm_out, self.affine(self._norm(self.norm_in, x)))

    def affine_form(self) -> tuple[Tensor, Tensor]:
        """The one affine map that this is at eval, exact in real arithmetic."""
        scale_in, shift_in = _scale_shift(self.norm_in)
        scale_out, shift_out = _scale_shift(self.norm_out)
        weight, bias = self.affine.weight.detach().double(), self.affine.bias.detach().double()
        full = scale_out[:, None] * weight * scale_in
        return full, scale_out * (weight @ shift_in + bias) + shift_out

    def _norm(self, norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
        if norm.training and x.numel() == norm.num_features:
            raise FitError(
                "A batch of one row has no spread to normalise by: expected 2 rows or more while fitting; use a larger "
                "batch."
            )
        if CHANNEL_AXIS[self.site.kind] == 1:
            # BatchNorm1d holds the statistics; the functional form takes any number of trailing dimensions.
            training = norm.training
            return torch.nn.functional.batch_norm(
                x, norm.running_mean, norm.running_var, norm.weight, norm.bias, training, norm.momentum or 0.0, norm.eps
            )
        flat: Tensor = norm(x.reshape(-1, x.shape[-1]))
        return flat.reshape(x.shape)


def _scale_shift(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    return scale, norm.bias.detach().double() - scale * norm.running_mean.double()
