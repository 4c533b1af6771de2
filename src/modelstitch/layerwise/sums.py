"""Measures that need only the sums of one pass."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..measures import MEASURES, Measure
from ..measures.cka import DEBIASED, debiased_from_moments
from ..moments.moments import Moments
from ..moments.null import NullGrid
from ..support.threads import alone_if_small
from .attempt import LayerPair, measured
from .meeting import LayerKey
from .passes import Rows
from .plan import Block, Step


def run(rows: Rows, block: Block, step: Step, batch_size: int, shuffles: int, seed: int) -> list[LayerPair]:
    """Every pair of a block, from one pass over the data."""
    lengths = _Lengths(any(measure is MEASURES.get(DEBIASED) for measure in step.measures))
    left, right = ({key: width + lengths.more for key, width in side.items()} for side in (block.left, block.right))
    grid = NullGrid(left, None if block.one_set else right, shuffles=shuffles, seed=seed, device=rows.device)
    for values in rows.each(block.layers, batch_size):
        beside = lengths.beside(values)
        grid.update({key: beside[key] for key in left}, {key: beside[key] for key in right})
        del values, beside  # else they stay while the next batch goes through

    held: dict[tuple[LayerKey, LayerKey], tuple[Moments, Moments]] = {}  # what one measure works out serves the next

    def sums(b: LayerKey, t: LayerKey, shuffle: int | None) -> tuple[Moments, Moments]:
        """Those of a pair with the rows' lengths, and without."""
        ends = block.turned(b, t)
        moments = grid.pair(*ends) if shuffle is None else grid.null(*ends, shuffle)
        moments = moments if ends == (b, t) else moments.turned()
        return moments, lengths.left_out(moments)

    def value(measure: Measure, b: LayerKey, t: LayerKey, shuffle: int | None) -> float:
        if shuffle is None and (b, t) not in held:
            held[b, t] = sums(b, t, None)
        moments, plain = held[b, t] if shuffle is None else sums(b, t, shuffle)
        if measure is MEASURES.get(DEBIASED):
            return debiased_from_moments(moments, lengths.bases[b], lengths.bases[t])
        assert measure.from_moments is not None
        return measure.from_moments(plain)

    with alone_if_small(max(block.layers.values())):
        return measured(step.measures, rows.meeting, block, value, shuffles)


class _Lengths:
    """A further column of every layer's rows: their squared distance from a base, the mean of the first batch.

    Args:
        wanted: whether a measure needs it.
    """

    def __init__(self, wanted: bool) -> None:
        self.more = int(wanted)
        self.bases: dict[LayerKey, Tensor] = {}

    def beside(self, values: Mapping[LayerKey, Tensor]) -> Mapping[LayerKey, Tensor]:
        """The rows of a batch, each with its length."""
        return {key: self._with(key, rows.double()) for key, rows in values.items()} if self.more else values

    def _with(self, key: LayerKey, rows: Tensor) -> Tensor:
        base = self.bases.setdefault(key, rows.mean(0))
        return torch.cat([rows, (rows - base).square().sum(1, keepdim=True)], 1)

    def left_out(self, moments: Moments) -> Moments:
        """The moments of the rows alone."""
        if not self.more:
            return moments
        m, some = moments, slice(None, -1)
        xx, yy, xy = (sums[some, some] for sums in (m.xx, m.yy, m.xy))
        return Moments(m.n, m.mean_x[some], m.mean_y[some], xx, yy, xy).sharing(*m.known)
