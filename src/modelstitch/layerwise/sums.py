"""Measures that need only the sums of one pass."""

from __future__ import annotations

from ..measures.evaluate import level
from ..moments.null import NullGrid
from ..support.threads import alone_if_small
from .attempt import LayerPair, attempt
from .passes import Rows
from .plan import Block, Step


def run(rows: Rows, block: Block, step: Step, batch_size: int, shuffles: int, seed: int) -> list[LayerPair]:
    """Every pair of a block, from one pass over the data."""
    bottoms, tops = rows.widths(block)
    grid = NullGrid(bottoms, tops, shuffles=shuffles, seed=seed, device=rows.device)
    for below, above in rows.each(block, batch_size):
        grid.update(below, above)
    with alone_if_small(max(*bottoms.values(), *tops.values())):
        return _solved(rows, grid, step, shuffles)


def _solved(rows: Rows, grid: NullGrid, step: Step, shuffles: int) -> list[LayerPair]:
    results = []
    for b in grid.bottom_layers:
        for t in grid.top_layers:
            for measure in step.measures:
                of = measure.from_moments
                assert of is not None
                found = attempt(
                    measure,
                    lambda: of(grid.pair(b, t)),  # noqa: B023 - called at once
                    lambda: level([of(grid.null(b, t, k)) for k in range(shuffles)]) if shuffles else None,  # noqa: B023
                    rows.where(b, t),
                )
                results.append(LayerPair(b, t, measure, *found))
    return results
