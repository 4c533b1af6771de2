"""Measures that need all activations of a pair of layers at once."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

from ..errors import MeasureError
from ..measures import MEASURES, Measure
from ..measures.checks import pair as checked
from ..measures.kernels import KERNELS, Kernel
from ..moments.null import derangement
from ..support.threads import alone_if_small
from .attempt import LayerPair, SideError, ValueOf, measured
from .meeting import LayerKey
from .passes import Rows
from .plan import Block, Step

Whole: TypeAlias = dict[LayerKey, Tensor]  # all rows of every layer


def run(rows: Rows, block: Block, step: Step, batch_size: int, shuffles: int, seed: int) -> list[LayerPair]:
    """Every pair of a block; matrices between examples are made once a layer."""
    parts = list(rows.each(block.layers, batch_size))
    whole = {key: torch.cat([part[key] for part in parts]) for key in block.layers}
    del parts
    n = len(next(iter(whole.values())))
    generator = torch.Generator().manual_seed(seed)
    orders = [derangement(n, generator).to(rows.device) for _ in range(shuffles)]
    with alone_if_small(min(n, max(block.layers.values()))):
        found: list[LayerPair] = []
        for measure in step.measures:
            kernel = KERNELS.get(measure.name) if measure is MEASURES.get(measure.name) else None
            value = _plainly(whole, orders) if kernel is None else _by_kernel(kernel, measure, whole, orders)
            found += measured([measure], rows.meeting, block, value, shuffles)
        return found


def _plainly(whole: Whole, orders: list[Tensor]) -> ValueOf:
    """A measure of rows, those of the top shuffled where a shuffle is asked for."""
    return lambda measure, b, t, k: measure(whole[b], whole[t] if k is None else whole[t][orders[k]])


def _by_kernel(kernel: Kernel, measure: Measure, whole: Whole, orders: list[Tensor]) -> ValueOf:
    """A measure of matrices between examples, each made once."""
    made = {key: _prepared(own, measure, key) for key, own in whole.items()}

    def value(measure: Measure, b: LayerKey, t: LayerKey, shuffle: int | None) -> float:
        one, other = made[b], made[t]
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
