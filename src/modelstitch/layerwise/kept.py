"""Measures that need all activations of a pair of layers at once."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

from ..errors import MeasureError
from ..measures import MEASURES, Measure
from ..measures.checks import pair as checked
from ..measures.kernels import KERNELS, Kernel
from ..support.permutations import derangement
from ..support.threads import alone_if_small
from .attempt import LayerPair, SideError, ValueOf, measured
from .passes import Rows
from .plan import Block, Step

Sides: TypeAlias = list[dict[str, Tensor]]  # rows of the layers, of the bottom and of the top


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
        found: list[LayerPair] = []
        for measure in step.measures:
            kernel = KERNELS.get(measure.name) if measure is MEASURES.get(measure.name) else None
            value = _plainly(sides, orders) if kernel is None else _by_kernel(kernel, measure, sides, rows, orders)
            found += measured([measure], block, value, shuffles, rows.where)
        return found


def _plainly(sides: Sides, orders: list[Tensor]) -> ValueOf:
    """A measure of rows, those of the top shuffled where a shuffle is asked for."""
    return lambda measure, b, t, k: measure(sides[0][b], sides[1][t] if k is None else sides[1][t][orders[k]])


def _by_kernel(kernel: Kernel, measure: Measure, sides: Sides, rows: Rows, orders: list[Tensor]) -> ValueOf:
    """A measure of matrices between examples, each made once."""
    below, above = (
        {name: _prepared(own, measure, f"{network.name}@{name}") for name, own in side.items()}
        for side, network in zip(sides, rows.networks)
    )

    def value(measure: Measure, b: str, t: str, shuffle: int | None) -> float:
        one, other = below[b], above[t]
        if isinstance(one, str) or isinstance(other, str):
            raise SideError(one if isinstance(one, str) else other)
        return kernel.value(one, other, measure.name, None if shuffle is None else orders[shuffle])

    return value


def _prepared(rows: Tensor, measure: Measure, where: str) -> Tensor | str:
    """The side's matrix, or why there is none."""
    try:
        unit, _ = checked(rows, rows, measure=measure.name, needed=measure.min_examples, names=(where, where))
        return KERNELS[measure.name].prepare(unit, where)
    except MeasureError as error:
        return str(error)
