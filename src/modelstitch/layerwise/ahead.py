"""What ``similarity`` will take, with its time from measured batches and a measured pair of layers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from ..data.batch import Batch
from ..data.data import Data, Split
from ..measures import Measure
from ..network import Network
from ..support.ahead import Ahead
from ..support.ambient import in_settled
from ..support.device import pick_device
from ..support.words import counted
from .meeting import LayerKey, Layers, Meeting, meeting_of
from .passes import Pass, Rows, TakeRows
from .plan import DEFAULT, Block, Plan, Step, chosen_measures, plan_of
from .run import WAYS

BATCHES = 3  # that are run: one to warm up, two that are measured
_GROWTH = {"sums": 0, "minibatch": 1, "gram": 2, "rows": 1}  # of a pair's own time, as this power of the examples


@in_settled
def foretell_similarity(
    bottom: Network | Sequence[Network],
    top: Network | None,
    data: Data,
    *,
    measures: str | Measure | Sequence[str | Measure] = DEFAULT,
    layers: Layers | None = None,
    view: str = "pool",
    split: Split = "val",
    shuffles: int = 20,
    batch_size: int = 256,
    device: str = "auto",
) -> Ahead:
    """What ``similarity`` with these arguments takes here; some batches are run, and the widest pair of layers.

    Raises:
        MeasureError, UnknownLayerError: as ``similarity``.
    """
    meeting, wanted = meeting_of(bottom, top, data, layers, "all"), chosen_measures(measures)
    how: dict[str, Any] = {"view": view, "split": split, "samples": None}
    plan = plan_of(meeting, data, wanted, shuffles=shuffles, **how)
    seconds = _seconds(meeting, plan, data.on(pick_device(device)), view, split, shuffles, batch_size, device)
    pairs = sum(len(meeting.seams(b.left, b.right, b.pairs)) for b in plan.steps[0].blocks)
    return Ahead(
        f"{counted(pairs * len(wanted), 'cell')}, {counted(pairs, 'pair')} of layers by "
        f"{counted(len(wanted), 'measure')}",
        plan.describe(),
        plan.size,
        "the networks and the activations of one batch",
        seconds,
        "estimated from measured batches and a pair of layers",
    )


class _RandomRows(Rows):
    """Rows of random numbers: what measures take by themselves."""

    def open(self, keys: Iterable[LayerKey], take: TakeRows, *, apart: bool = False) -> Pass:
        """As ``Rows.open``; no network runs."""
        shapes = {key: self.places[key][1].shape for key in keys}

        def run(batch: Batch) -> dict[LayerKey, Any]:
            made = {key: torch.randn(len(batch), *shape, device=self.device) for key, shape in shapes.items()}
            return {key: take(value, key, batch) for key, value in made.items()}

        return run


def _seconds(
    meeting: Meeting, plan: Plan, data: Data, view: str, split: Split, shuffles: int, batch_size: int, device: str
) -> float:
    some = min(plan.examples, BATCHES * batch_size)

    def batches(size: int) -> Iterator[Batch]:
        yield from data.batches(split, size, seed=0, limit=some)

    rows, drawn = (kind(meeting, view, pick_device(device), batches, some, None) for kind in (Rows, _RandomRows))
    passes = sum(step.passes for step in plan.steps)
    found = _forward(rows, plan.steps[0].blocks[0], batch_size, some) * plan.examples * max(1.0, passes)
    for step in plan.steps:
        block, as_many = _largest(meeting, step)
        few, once = replace(step, blocks=(block,), kept=False), min(shuffles, 1)
        with torch.random.fork_rng(devices=[]):
            for _ in range(2):  # the first warms up
                begun = time.perf_counter()
                WAYS[step.way](drawn, block, few, batch_size, once, 0)
                pair = time.perf_counter() - begun
        grown = (plan.examples / some) ** _GROWTH[step.way] * (1 + shuffles) / (1 + once)
        found += pair * grown * as_many
    return found


def _forward(rows: Rows, block: Block, batch_size: int, some: int) -> float:
    """Seconds of a sample on its way through all networks, the first batch left out where there are others."""
    marks = [time.perf_counter()]
    for _ in rows.each(block.layers, batch_size):
        marks.append(time.perf_counter())
    first = 0 if len(marks) == 2 else 1
    return (marks[-1] - marks[first]) / max(1, some - first * batch_size)


def _largest(meeting: Meeting, step: Step) -> tuple[Block, float]:
    """The pair of layers that takes most by itself, and how many such pairs take the time that all take."""

    def size(b: int, t: int) -> float:
        return float(b * t * max(b, t) if step.way == "sums" else b + t)

    ends = [
        (size(block.layers[b], block.layers[t]), Block({b: block.layers[b]}, {t: block.layers[t]}, block.pairs))
        for block in step.blocks
        for b, t in meeting.seams(block.left, block.right, block.pairs)
    ]
    most, largest = max(ends, key=lambda end: end[0])
    return largest, sum(one for one, _ in ends) / most
