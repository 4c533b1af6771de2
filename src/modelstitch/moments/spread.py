"""The sums of layers with unlike positions, taken without enlarging the rows of the bottom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import MeasureError
from ..support.fast.products import stacked
from .grid import MomentsGrid, rows_of


class Spread:
    """A fixed linear step from P positions to Q, the same for every channel; the weights of each target sum to 1.

    Args:
        matrix: shape (Q, P).
        grids: (height, width) of the source and of the target, where positions lie on grids: a step that treats both
            axes apart is applied axis by axis.
    """

    def __init__(self, matrix: Tensor, grids: tuple[tuple[int, int], tuple[int, int]] | None = None) -> None:
        self.target, self.source = matrix.shape
        self.matrix = matrix.to(torch.float64)
        self._weights = self.matrix.sum(0)
        axes = _axes(self.matrix, *grids) if grids else None
        self._back = [a.T for a in axes] if axes else [self.matrix.T]
        self._twice = [a.T @ a for a in axes] if axes else [self.matrix.T @ self.matrix]

    def weigh(self, examples: int) -> Tensor:
        """The weight of each row of so many examples in the sum of the enlarged: shape (examples P,)."""
        if len(self._weights) != examples * self.source:
            self._weights = self.matrix.sum(0).repeat(examples)
        return self._weights

    def back(self, y: Tensor) -> Tensor:
        """U'y: rows (n Q, channels) to rows (n P, channels)."""
        return _apply(self._back, y)

    def twice(self, x: Tensor) -> Tensor:
        """U'Ux: rows (n P, channels) to rows of the same shape."""
        return _apply(self._twice, x)


class SpreadGrid(MomentsGrid):
    """A grid whose bottom rows come at P positions of each example, and whose top rows at Q.

    Args:
        spread: the adapter between them.
        beside: a grid with the same top layers that takes and settles the same batch just before: it keeps the sums of
            the top for both.
        **room: as for ``MomentsGrid``.
    """

    def __init__(
        self,
        bottom_layers: Mapping[str, int],
        top_layers: Mapping[str, int] | None,
        *,
        spread: Spread | None,
        beside: SpreadGrid | None = None,
        **room: Any,
    ) -> None:
        super().__init__(bottom_layers, top_layers, **room)
        self.spread, self._beside = spread, beside
        self._rows: Tensor
        if beside is not None:
            self._above, self.yy = beside._above, beside.yy
            self._own = [(self._below, self.xx)]

    def take(self, bottom: Mapping[str, Tensor], top: Mapping[str, Tensor]) -> None:
        """Add a part of a batch: rows (n P, channels) of every bottom layer and (n Q, channels) of every top layer.

        Raises:
            MeasureError, NonFiniteError: as ``MomentsGrid.update``.
        """
        spread, rows = self.spread, rows_of(bottom)
        times, weights = rows, None
        if self.one_set:
            self._rows, of_rows = self._below.centre(bottom, rows, self.mean_x if self.n else None)
            self._below.add(of_rows, rows)
            if rows:
                self._cross(self._rows, self._rows)
            return
        if spread is not None:
            if rows % spread.source:
                raise MeasureError(
                    f"The rows of the bottom must be whole examples of {spread.source} positions, found {rows} rows."
                )
            times = rows // spread.source * spread.target
            weights = spread.weigh(rows // spread.source)
        x, of_x = self._below.centre(bottom, rows, self.mean_x if self.n else None, weights)
        if self._beside is None:
            y, of_y = self._above.centre(top, times, self.mean_y if self.n else None)
            self._above.add(of_y, times)
            self._rows = y
        y = (self._beside or self)._rows
        self._below.add(of_x, times)
        if rows == 0:
            return
        self._squares(self._below, self.xx, x, None if spread is None else spread.twice(x))
        if self._beside is None:
            self._squares(self._above, self.yy, y)
        self._cross(x, y if spread is None else spread.back(y))


def _apply(steps: list[Tensor], rows: Tensor) -> Tensor:
    channels = rows.shape[1]
    if len(steps) == 1:
        step = steps[0].to(rows)
        return stacked(step, rows.view(-1, step.shape[1], channels)).view(-1, channels)
    down, across = (step.to(rows) for step in steps)
    width = across.shape[1]
    found = stacked(down, rows.view(-1, down.shape[1], width * channels))
    return stacked(across, found.view(-1, width, channels)).view(-1, channels)


def _axes(matrix: Tensor, source: tuple[int, int], target: tuple[int, int]) -> tuple[Tensor, Tensor] | None:
    """The steps along the height and along the width, if the whole is their product."""
    if (source[0] * source[1], target[0] * target[1]) != (matrix.shape[1], matrix.shape[0]):
        return None
    parts = matrix.view(*target, *source)
    down, across = parts[:, 0].sum(2), parts[0].sum(1)
    return (down, across) if torch.allclose(torch.kron(down, across), matrix, atol=1e-6) else None
