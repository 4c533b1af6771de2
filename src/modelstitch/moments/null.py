"""Wrong pairings of the samples, and the sums of one pass under them: the null level of a fit or a measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..errors import MeasureError
from ..support.fast.products import add_inner
from .grid import MomentsGrid
from .moments import Moments


class NullGrid(MomentsGrid):
    """A grid that also keeps the cross sums of ``shuffles`` random pairings.

    The sums of one side do not depend on the pairing, so that only X'Y is kept once more for each shuffle. Rows are
    shuffled within a batch, and a shuffle's sums leave out what batches' means have in common, which would be paired
    rightly.
    """

    def __init__(
        self,
        bottom_layers: Mapping[str, int],
        top_layers: Mapping[str, int] | None,
        *,
        shuffles: int,
        seed: int = 0,
        **room: Any,
    ) -> None:
        """Reserve the sums of no rows.

        Args:
            shuffles: how many pairings; 0 is a plain grid.
            seed: of the pairings.
            **room: as for ``MomentsGrid``.

        Raises:
            MeasureError: as ``MomentsGrid``.
        """
        self.shuffles = shuffles
        super().__init__(bottom_layers, top_layers, **room)
        self.shuffled = self.xy.new_zeros((shuffles, *self.xy.shape))
        self._generator = torch.Generator().manual_seed(seed)

    def needed(self) -> int:
        p, q = sum(self.bottom_layers.values()), sum(self.top_layers.values())
        return super().needed() + self.shuffles * self.dtype.itemsize * p * q

    def null(self, bottom_layer: str, top_layer: str, shuffle: int) -> Moments:
        """The moments of one pair of layers under one shuffled pairing."""
        moments = self.pair(bottom_layer, top_layer)
        i, j = self._below.slices[bottom_layer], self._above.slices[top_layer]
        return replace(moments, xy=self.shuffled[shuffle, i, j]).sharing(*moments.known)

    def merge(self, other: MomentsGrid) -> None:
        """Add another pass over the same layers, with as many shuffles, in place.

        Raises:
            MeasureError: other layers, widths, dtype, or another number of shuffles.
        """
        found = other.shuffles if isinstance(other, NullGrid) else 0
        if found != self.shuffles:
            raise MeasureError(
                f"A null level of {self.shuffles} shuffles cannot take up one of {found}: use as many in both."
            )
        super().merge(other)
        if isinstance(other, NullGrid):
            self.shuffled += other.shuffled.to(self.shuffled.device)

    def _added(self) -> list[Tensor]:
        return [*super()._added(), self.shuffled]

    def _cross(self, x: Tensor, y: Tensor) -> None:
        super()._cross(x, y)
        centred = y - y.mean(0)  # batches' means would be paired rightly
        for sums in self.shuffled:
            add_inner(sums, x, centred[derangement(len(y), self._generator).to(y.device)])


def derangement(n: int, generator: torch.Generator) -> Tensor:
    """A permutation of n that leaves nothing in its place, where n is 2 or more: one random cycle through all."""
    order = torch.randperm(n, generator=generator)
    result = torch.empty_like(order)
    result[order] = order.roll(1)
    return result
