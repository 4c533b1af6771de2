"""Stitchers in whitened coordinates: the same map, but every direction of the activations is as easy to turn."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ...moments.moments import Moments
from ...stitchers import Affine, Stitcher
from ...stitchers.affine import scaled_spectrum
from ...stitchers.conv import Conv
from .options import FitSpec

WHITENED = (Affine, Conv)
CHANNELS = 64  # with so many, a learning rate is taken as it is
FLOOR = 1e-4  # relative to the mean eigenvalue: directions below it carry no signal worth amplifying


def by_muon(spec: FitSpec, family: type[Stitcher], normalisation: str) -> bool:
    """Whether steps are Muon's: those of whitened maps, unless statistics move, which no mean of states would fit."""
    return spec.optimizer == "muon" and spec.whiten and issubclass(family, WHITENED) and normalisation != "batch"


class Whitened(nn.Module):
    """y = S (V * P (x - mean_x) + c) + mean_y: P whitens the channels of x, S is the spread of y; V and c are trained.

    V is (q, r), or a kernel (q, r, k, k) where the stitcher is one; P is (r, p), c (q,). Where a kernel reaches over
    the border it meets the zeros that the stitcher itself meets there. ``core`` is V, its rows flat, with c as the last
    column: of a constant 1, which is whitened as it stands.
    """

    mean_x: Tensor
    mean_y: Tensor
    whitener: Tensor
    spread: Tensor

    def __init__(self, stitcher: Affine | Conv, moments: Moments) -> None:
        super().__init__()
        self._form = [copy.deepcopy(stitcher).requires_grad_(False)]  # in a list: not a part with weights of its own
        n = moments.n
        values, vectors, scale = scaled_spectrum(moments)
        values = values / n
        mean = values.clamp(min=0).mean()
        kept = values > 1e-9 * mean
        root = (values[kept] + FLOOR * mean).sqrt()
        whitener = (vectors[:, kept] / root).T * scale
        spread = (moments.yy.diagonal() / n).sqrt()
        spread = torch.where(spread > 0, spread, torch.ones_like(spread))
        weight, bias = stitcher.weight.detach().to(whitener), stitcher.bias.detach().to(whitener)
        # W = S V P, exact on the directions that are kept; P has full row rank, so V = W P+ / S.
        start = _along_channels(weight, torch.linalg.pinv(whitener)) / _beside(spread, weight)
        offset = (bias + _taps(weight) @ moments.mean_x - moments.mean_y) / spread
        dtype = torch.get_default_dtype()
        self._shape = start.shape
        self.core = nn.Parameter(torch.cat([start.flatten(1), offset[:, None]], 1).to(dtype))
        for name, value in (("mean_x", moments.mean_x), ("mean_y", moments.mean_y)):
            self.register_buffer(name, value.to(dtype))
        self.register_buffer("whitener", whitener.to(dtype))
        self.register_buffer("spread", spread.to(dtype))

    @property
    def pace(self) -> float:
        """What the learning rate is multiplied with.

        64 over a row's entries, for steps that move the output as far with any p.

        A step of Adam moves every entry of V about as far; where the p inputs, each of variance 1, pull together the
        output moves p times that (cf. Yang et al. 2022, whose rate of hidden layers falls with their width).
        """
        return CHANNELS / max(1, self.core.shape[1] - 1)

    def effective(self) -> tuple[Tensor, Tensor]:
        """The stitcher's own weight, (q, p) or (q, p, k, k), and bias (q,)."""
        core = self.core[:, :-1].view(self._shape)
        weight = _beside(self.spread, core) * _along_channels(core, self.whitener)
        return weight, self.spread * self.core[:, -1] + self.mean_y - _taps(weight) @ self.mean_x

    @property
    def width(self) -> float:
        """Of the kernel: Muon's step moves an output as far with any p, but k times as far where positions agree."""
        return math.sqrt(math.prod(self._shape[2:]))

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.effective()
        result: Tensor = functional_call(self._form[0], {"weight": weight, "bias": bias}, x)
        return result

    def twin(self) -> Whitened:
        """Another map in the same coordinates, which both share."""
        return copy.deepcopy(self, {id(part): part for part in [*self.buffers(), self._form[0]]})

    def plain(self) -> Affine | Conv:
        """The same map as an ordinary stitcher."""
        weight, bias = self.effective()
        plain = copy.deepcopy(self._form[0]).to(weight.device)
        with torch.no_grad():
            plain.weight.copy_(weight)
            plain.bias.copy_(bias)
        return plain.requires_grad_(True).eval()


def _along_channels(weight: Tensor, matrix: Tensor) -> Tensor:
    """weight (q, a, ...) times matrix (a, b), over the channels: (q, b, ...)."""
    return (weight.movedim(1, -1) @ matrix).movedim(-1, 1)


def _beside(values: Tensor, weight: Tensor) -> Tensor:
    """values (q,) as factors of weight (q, ...)."""
    return values.view(-1, *[1] * (weight.ndim - 1))


def _taps(weight: Tensor) -> Tensor:
    """The sum over a kernel's positions, (q, p)."""
    return weight.flatten(2).sum(2) if weight.ndim > 2 else weight
