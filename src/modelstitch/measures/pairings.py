"""Values of every pair of layers under any pairing of their rows, with what no pairing changes worked out once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..stats.bootstrap import Floats
from .checks import Activations, prepared
from .cka import BIASED, DEBIASED, require_spread, unbiased
from .kernels import KERNELS
from .measure import Measure
from .registry import MEASURES

_COLUMNS = 4096  # of one side, that meet in one product
ValuesUnder = Callable[[Tensor | None], Floats]  # of all pairs, shape (L, M), under a pairing of the rows of y
Names = tuple[Sequence[str], Sequence[str]]


def values_under(
    x: Sequence[Activations], y: Sequence[Activations], measure: Measure, names: Names, *, rough: bool = False
) -> ValuesUnder:
    """The values of L layers with M layers, as a function of the pairing of their rows.

    Args:
        x: shapes (n, p).
        y: shapes (n, q).
        measure: of these.
        names: what to call the layers in messages.
        rough: linear CKA multiplies in float32 where rows are permuted, in half the time; good to about 1e-6.

    Raises:
        MeasureError, NonFiniteError: a layer that the measure refuses.
    """
    if measure is not MEASURES.get(measure.name):
        prepared(x, y, measure=measure.name, needed=measure.min_examples, names=names)
        return _plainly(x, y, measure)
    linear = measure.name in (BIASED, DEBIASED)
    kernel = KERNELS.get(measure.name)
    left, right = prepared(x, y, measure=measure.name, needed=measure.min_examples, names=names)
    if linear and 2 * max(layer.shape[1] for layer in (*left, *right)) <= len(left[0]):
        return _Products(left, right, measure, names, torch.float32 if rough else torch.float64)
    if kernel is None:
        return _plainly(x, y, measure)
    meet, below = kernel, [kernel.prepare(a, name) for a, name in zip(left, names[0])]
    above = [kernel.prepare(b, name) for b, name in zip(right, names[1])]

    def met(order: Tensor | None) -> Floats:
        moved = above if order is None else [b[order.to(b.device)][:, order.to(b.device)] for b in above]
        return np.array([[meet.value(a, b, measure.name) for b in moved] for a in below])

    return met


def rows_of(layer: Activations, rows: Tensor) -> Activations:
    """Some rows, or all in another order."""
    return layer[rows.to(layer.device)] if isinstance(layer, Tensor) else layer[rows.numpy()]


def _plainly(x: Sequence[Activations], y: Sequence[Activations], measure: Measure) -> ValuesUnder:
    def each(order: Tensor | None) -> Floats:
        moved = y if order is None else [rows_of(b, order) for b in y]
        return np.array([[measure(a, b) for b in moved] for a in x])

    return each


class _Products:
    """Linear CKA of all pairs: one product of all features of one side with all of the other."""

    def __init__(
        self, x: Sequence[Tensor], y: Sequence[Tensor], measure: Measure, names: Names, moved: torch.dtype
    ) -> None:
        self.measure, self.n = measure, len(x[0])
        self.wide = [torch.cat(list(side), 1) for side in (x, y)]
        self.narrow = [side.to(moved) for side in self.wide]
        self.blocks = [  # which columns are whose, (columns, layers), 0 or 1
            torch.eye(len(side), dtype=torch.float64, device=side[0].device).repeat_interleave(
                torch.tensor([layer.shape[1] for layer in side], device=side[0].device), 0
            )
            for side in (x, y)
        ]
        self.small = [blocks.to(moved) for blocks in self.blocks]
        self.moved = torch.empty_like(self.narrow[1])
        self.diagonals = [torch.stack([layer.square().sum(1) for layer in side]) for side in (x, y)]
        self.own = []
        for of, side, diagonals in zip(names, (x, y), self.diagonals):
            squares = torch.stack([_squares(layer) for layer in side])
            own = self._hsic(squares, (diagonals**2).sum(1), diagonals.sum(1) ** 2)
            for name, value, whole in zip(of, own.tolist(), squares.tolist()):
                if measure.name == DEBIASED:
                    require_spread(value, whole, name, measure.name)
            self.own.append(own.sqrt())

    def __call__(self, order: Tensor | None) -> Floats:
        (x, y), (left, right), (d, e) = self.wide, self.blocks, self.diagonals
        if order is not None:
            order = order.to(y.device)
            x, (left, right), e = self.narrow[0], self.small, e.index_select(1, order)
            y = torch.index_select(self.narrow[1], 0, order, out=self.moved)
        squares = torch.zeros(left.shape[1], right.shape[1], dtype=torch.float64, device=x.device)
        for at in range(0, y.shape[1], _COLUMNS):
            columns = slice(at, at + _COLUMNS)
            squares += left.T @ (x.T @ y[:, columns]).square_() @ right[columns]
        hsic = self._hsic(squares, d @ e.T, torch.outer(d.sum(1), e.sum(1)))
        low = -1.0 if self.measure.name == DEBIASED else 0.0
        found: Floats = (hsic / torch.outer(*self.own)).clamp(low, 1.0).cpu().numpy()
        return found

    def _hsic(self, squares: Tensor, meeting: Tensor, traces: Tensor) -> Tensor:
        return squares if self.measure.name == BIASED else unbiased(squares, meeting, traces, self.n)


def _squares(layer: Tensor) -> Tensor:
    """||A'A||^2, from the smaller of A'A and AA'."""
    return (layer.T @ layer if layer.shape[1] <= len(layer) else layer @ layer.T).square().sum()
