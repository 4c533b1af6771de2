"""Measures that need only the sums of one pass."""

from __future__ import annotations

from ..measures import Measure
from ..moments.grid import NullGrid
from ..support.threads import alone_if_small
from .attempt import LayerPair, measured
from .passes import Rows
from .plan import Block, Step


def run(rows: Rows, block: Block, step: Step, batch_size: int, shuffles: int, seed: int) -> list[LayerPair]:
    """Every pair of a block, from one pass over the data."""
    bottoms, tops = rows.widths(block)
    grid = NullGrid(bottoms, tops, shuffles=shuffles, seed=seed, device=rows.device)
    for below, above in rows.each(block, batch_size):
        grid.update(below, above)

    def value(measure: Measure, b: str, t: str, shuffle: int | None) -> float:
        assert measure.from_moments is not None
        return measure.from_moments(grid.pair(b, t) if shuffle is None else grid.null(b, t, shuffle))

    with alone_if_small(max(*bottoms.values(), *tops.values())):
        return measured(step.measures, block, value, shuffles, rows.where)
