"""The sums of bottom layers with top layers, at the top's positions, batch by batch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from ..data.data import Data
from ..errors import StitchError
from ..moments.grid import rows_of
from ..moments.moments import Moments
from ..moments.spread import Spread, SpreadGrid
from ..network import Layer, Network, positions_of
from ..stitchers import Adapter, channels_back, channels_last, rows

_COLUMN = 32_768  # bytes of one channel's rows that are multiplied at once


class Layered(Protocol):
    """A network, or a sender that stands for one."""

    def layer(self, name: str) -> Layer:
        """The layer of that name."""
        ...


@dataclass
class Group:
    """Top layers with the same positions, and the sums of every bottom layer with them.

    Attributes:
        kind: where their channels are.
        tops: the layers.
        adapters: {bottom layer: the step to these positions}.
    """

    kind: str
    tops: list[str]
    adapters: dict[str, Adapter]
    _parts: list[_GridPart] = field(default_factory=list)

    @property
    def grids(self) -> list[SpreadGrid]:
        """The sums, once they are reserved."""
        return [part.grid for part in self._parts]

    def pair(self, b: str, t: str) -> Moments:
        """The sums of one pair of layers."""
        return next(part.grid.pair(b, t) for part in self._parts if b in part.grid.bottom_layers)

    def reserve(self, bottom: Layered, top: Network, *, whole: bool, dtype: torch.dtype, device: torch.device) -> None:
        """Make room for the sums.

        Args:
            whole: whether all positions of every example count, so that bottom layers with fewer of them may keep to
                their own.

        Raises:
            MeasureError: they do not fit; the message holds both sizes.
        """
        above = {t: top.layer(t).channels for t in self.tops}
        first: SpreadGrid | None = None
        for key, bottoms in self._ways(bottom, top, whole).items():
            spread = None if key is None else _spread(self.adapters[bottoms[0]], self.kind)
            grid = SpreadGrid(
                {b: bottom.layer(b).channels for b in bottoms},
                above,
                spread=spread,
                beside=first,
                dtype=dtype,
                device=device,
            )
            first = first or grid
            self._parts.append(_GridPart(grid, {b: bottom.layer(b).kind for b in bottoms}))

    def _ways(self, bottom: Layered, top: Network, whole: bool) -> dict[Any, list[str]]:
        """The bottom layers that are multiplied at the same positions.

        Their own where those are fewer, else (None) the top's.
        """
        place = top.layer(self.tops[0])
        ways: dict[Any, list[str]] = {}
        for b, adapter in self.adapters.items():
            layer = bottom.layer(b)
            volume = (
                len(layer.positions) > 2 or len(place.positions) > 2
            )  # the matrix of all their positions would be too large
            few = whole and not adapter.plain and not volume and 0 < _count(layer) < _count(place)
            ways.setdefault((layer.kind, layer.positions, layer.over, layer.grid) if few else None, []).append(b)
        return ways

    def add(
        self, below: Mapping[str, Tensor], above: Mapping[str, Tensor], mask: Tensor | None, kept: Tensor | None
    ) -> None:
        """Add a batch of activations; ``mask``: which positions hold a token; ``kept``: only these rows."""
        y = {t: _some(channels_last(above[t], self.kind), kept) for t in self.tops}
        for part in self._parts:
            direct = part.grid.spread is None
            x = {
                b: _some(channels_last(self.adapters[b](below[b], mask), self.kind), kept)
                if direct
                else channels_last(below[b], kind)
                for b, kind in part.kinds.items()
            }
            part.waiting = x
        n = len(next(iter(y.values())))
        if n == 0:
            return
        # A few examples at a time, so that what is written is still in the cache when it is multiplied.
        step = max(1, _COLUMN // self.grids[0].dtype.itemsize // (rows_of(y) // n))
        for start in range(0, n, step):
            some = slice(start, start + step)
            for part in self._parts:
                part.grid.take(
                    {b: x[some] for b, x in part.waiting.items()}, {t: value[some] for t, value in y.items()}
                )
        for part in self._parts:
            part.grid.settle()


@dataclass
class _GridPart:
    grid: SpreadGrid
    kinds: dict[str, str]  # {bottom layer: its kind}
    waiting: dict[str, Tensor] = field(default_factory=dict)


def all_positions(data: Data, positions: int | None) -> bool:
    """Whether every position of every example counts: none is drawn, and no example is padded."""
    first = next(data.batches("fit", 1)).inputs  # that it is whole itself says nothing of the others
    return positions is None and not (isinstance(first, dict) and data.mask in first)


def draw(
    per_example: int, n: int, positions: int | None, generator: torch.Generator, mask: Tensor | None = None
) -> Tensor | None:
    """Rows of a batch to keep: so many positions, drawn anew, of each example, no padding among them.

    None keeps all.
    """
    if positions is not None and positions < 1:
        raise StitchError(f"positions must be 1 or more, found {positions}.")
    if positions is None or positions >= per_example:
        return None if mask is None else mask.flatten().nonzero()[:, 0]
    order = torch.rand(n, per_example, generator=generator)
    order = order if mask is None else order.masked_fill(~mask, 2.0)  # padding comes last
    drawn = order.argsort(1)[:, :positions]
    kept = (drawn + per_example * torch.arange(n)[:, None]).flatten()
    return kept if mask is None else kept[mask.flatten()[kept]]


def _some(x: Tensor, kept: Tensor | None) -> Tensor:
    return x if kept is None else x.reshape(-1, x.shape[-1])[kept.to(x.device)]


def _count(layer: Layer) -> int:
    return math.prod(layer.positions)


def _spread(adapter: Adapter, kind: str) -> Spread:
    """The adapter as a matrix: what it makes of activations whose channels each mark one position."""
    places = positions_of(adapter.source.kind, adapter.source.shape)
    marks = torch.eye(math.prod(places)).view(1, *places, -1)
    found = rows(adapter(channels_back(marks, adapter.source.kind)), kind)
    sides: Any = (adapter.grid_in, adapter.grid_out)
    return Spread(found, sides if all(side and len(side) == 2 for side in sides) else None)
