"""Centred sums of rows of which some are the same for many.

Products with shared rows, whose own sums are taken once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..support.fast.products import inner


class Sums:
    """Centred second moments of rows x (n, p), float64, batch by batch (Chan, Golub and LeVeque 1983).

    Args:
        width: p.
        beside: the same of rows y (n, q) that take each batch just before: the cross products are summed too.

    Attributes:
        own: the sums of x'x, shape (p, p).
        cross: the sums of x'y, shape (p, q); only with ``beside``.
    """

    def __init__(self, width: int, device: torch.device, *, beside: Sums | None = None) -> None:
        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        self.n, self.mean, self.own, self._beside = 0, zeros(width), zeros(width, width), beside
        self.cross = zeros(width, len(beside.mean)) if beside is not None else zeros(0)
        self.step = self.mean  # from the mean before a batch to that of the batch
        self.centred: Tensor  # the rows of the latest batch, less their mean

    def add(self, x: Tensor) -> None:
        """Count a batch of rows."""
        mean = x.mean(0)
        self.centred, self.step = x - mean, mean - self.mean
        before, self.n = self.n, self.n + len(x)
        scale = before * len(x) / self.n
        self.own += inner(self.centred)
        self.own.addr_(self.step, self.step, alpha=scale)
        if self._beside is not None:
            self.cross += inner(self.centred, self._beside.centred)
            self.cross.addr_(self.step, self._beside.step, alpha=scale)
        self.mean = self.mean + self.step * (len(x) / self.n)
