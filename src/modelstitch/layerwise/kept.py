"""Measures that need all activations of a pair of layers at once."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import MeasureError
from ..measures import MEASURES, Measure
from ..measures.checks import pair as checked
from ..measures.evaluate import level, null_level
from ..measures.kernels import KERNELS
from ..support.permutations import derangement
from ..support.threads import alone_if_small
from .attempt import LayerPair, attempt
from .passes import Rows
from .plan import Block, Step


def run(rows: Rows, block: Block, step: Step, batch_size: int, shuffles: int, seed: int) -> list[LayerPair]:
    """Every pair of a block; matrices between examples are made once a layer."""
    parts = list(rows.each(block, batch_size))
    sides = [{name: torch.cat([part[i][name] for part in parts]) for name in parts[0][i]} for i in (0, 1)]
    del parts
    n = len(next(iter(sides[0].values())))
    generator = torch.Generator().manual_seed(seed)
    orders = [derangement(n, generator).to(rows.device) for _ in range(shuffles)]
    widest = max(value.shape[1] for side in sides for value in side.values())
    with alone_if_small(min(n, widest)):
        return _measured(rows, sides, step, orders, seed)


def _measured(
    rows: Rows, sides: list[dict[str, Tensor]], step: Step, orders: list[Tensor], seed: int
) -> list[LayerPair]:
    shuffles = len(orders)
    results = []
    for measure in step.measures:
        kernel = KERNELS.get(measure.name) if measure is MEASURES.get(measure.name) else None
        ready: list[dict[str, Tensor | str]] = [{}, {}]
        if kernel is not None:
            for side, prepared, network in zip(sides, ready, rows.networks):
                for name, own in side.items():
                    prepared[name] = _prepared(own, measure, f"{network.name}@{name}")
        for b, x in sides[0].items():
            for t, y in sides[1].items():
                where = rows.where(b, t)
                if kernel is None:
                    found = attempt(
                        measure,
                        lambda: measure(x, y),  # noqa: B023 - called at once
                        lambda: null_level(measure, x, y, n=shuffles, seed=seed) if shuffles else None,  # noqa: B023
                        where,
                    )
                    results.append(LayerPair(b, t, measure, *found))
                    continue
                one, other = ready[0][b], ready[1][t]
                if isinstance(one, str) or isinstance(other, str):
                    results.append(LayerPair(b, t, measure, None, None, str(one if isinstance(one, str) else other)))
                    continue
                value = kernel.value(one, other, measure.name)
                null = level([kernel.value(one, other, measure.name, o) for o in orders]) if shuffles else None
                results.append(LayerPair(b, t, measure, value, null, ""))
    return results


def _prepared(rows: Tensor, measure: Measure, where: str) -> Tensor | str:
    """The side's matrix, or why there is none."""
    try:
        unit, _ = checked(rows, rows, measure=measure.name, needed=measure.min_examples, names=(where, where))
        return KERNELS[measure.name].prepare(unit, where)
    except MeasureError as error:
        return str(error)
