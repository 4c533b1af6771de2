"""What ``similarity`` will take, with its time from measured batches and a measured pair of layers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from ..data.batch import Batch
from ..data.data import Data, Split
from ..measures import Measure
from ..network import Network
from ..support.ahead import Ahead
from ..support.ambient import in_settled
from ..support.device import pick_device
from ..support.footprint import Footprint
from ..support.words import counted
from .meeting import LayerKey, Layers, Meeting, meeting_of
from .passes import Pass, Rows, TakeRows
from .plan import CHUNK, DEFAULT, MINIBATCH, Block, Plan, Step, chosen_measures, plan_of
from .run import WAYS

BATCHES = 4  # that are run: two that are weighed, which warm up, and two that are timed
WEIGHED = 2
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
    rows = partial(_rows_of, meeting, data.on(pick_device(device)), view, split, device, plan.examples)
    seconds, memory = _measured(rows, plan, shuffles, batch_size)
    pairs = sum(len(meeting.seams(b.left, b.right, b.pairs)) for b in plan.steps[0].blocks)
    return Ahead(
        f"{counted(pairs * len(wanted), 'cell')}, {counted(pairs, 'pair')} of layers by "
        f"{counted(len(wanted), 'measure')}",
        plan.describe(),
        memory,
        "the networks and the data",
        seconds,
        "estimated from measured batches and a pair of layers",
    )


RowsOf = Callable[[type[Rows], int], Rows]


def _rows_of(
    meeting: Meeting, data: Data, view: str, split: Split, device: str, examples: int, kind: type[Rows], some: int
) -> Rows:
    """Rows of some of the examples."""
    some = min(examples, some)

    def batches(size: int) -> Iterator[Batch]:
        yield from data.batches(split, size, seed=0, limit=some)

    return kind(meeting, view, pick_device(device), batches, some, None)


class _RandomRows(Rows):
    """Rows of random numbers: what measures take by themselves."""

    def open(self, keys: Iterable[LayerKey], take: TakeRows, *, apart: bool = False) -> Pass:
        """As ``Rows.open``; no network runs."""
        shapes = {key: self.places[key][1].shape for key in keys}

        def run(batch: Batch) -> dict[LayerKey, Any]:
            n, device = len(batch), self.device
            return {key: take(torch.randn(n, *shape, device=device), key, batch) for key, shape in shapes.items()}

        return run


def _measured(rows_of: RowsOf, plan: Plan, shuffles: int, batch_size: int) -> tuple[float, int]:
    """Seconds, and the most bytes that tensors hold at a time: from some batches, and the pair that takes most."""
    seconds, memory = 0.0, 0
    for step in plan.steps:
        size = {"minibatch": MINIBATCH, "gram": CHUNK}.get(step.way, batch_size)
        each, way = _pass(rows_of(Rows, BATCHES * size), plan, step, size, shuffles)
        pair, own = _pair(rows_of(_RandomRows, BATCHES * size), plan, step, batch_size, shuffles)
        seconds += each * plan.examples * max(1.0, step.passes) + pair
        memory = max(memory, way, own)
    return seconds, memory


def _pass(rows: Rows, plan: Plan, step: Step, size: int, shuffles: int) -> tuple[float, int]:
    """Seconds of a sample on its way through all networks and into the sums, and bytes that are held meanwhile.

    The first batches are weighed; where there are others, these are timed.
    """
    block = replace(max(step.blocks, key=partial(plan.sizes.of, step.way)), pairs=())
    marks = [time.perf_counter()]
    with ExitStack() as weighing:
        held = weighing.enter_context(Footprint())

        def told(what: str, done: int, total: int) -> None:
            marks.append(time.perf_counter())
            if len(marks) > WEIGHED:
                weighing.close()

        rows.tell = told
        WAYS[step.way](rows, block, replace(step, kept=False), size, shuffles, 0)
    first = WEIGHED if len(marks) > WEIGHED + 1 else 0
    weighed = replace(plan.sizes, n=min(rows.examples, WEIGHED * size))
    each = (marks[-1] - marks[first]) / max(1, rows.examples - first * size)
    return each, step.size - _matrices(plan, step) + held.most - weighed.of(step.way, block)


def _matrices(plan: Plan, step: Step) -> int:
    """Bytes of the kernels' matrices between examples, which are made when all rows are there."""
    return max(map(plan.sizes.kernels, step.blocks)) if step.kernels else 0


def _pair(rows: Rows, plan: Plan, step: Step, batch_size: int, shuffles: int) -> tuple[float, int]:
    """Seconds that the pairs of a step take by themselves, and bytes that are held while they are measured.

    Those of Gram matrices are measured from a few numbers: 0 bytes.
    """
    block, as_many = _largest(rows.meeting, step)
    few, once = replace(step, blocks=(block,), kept=False), min(shuffles, 1)
    with torch.random.fork_rng(devices=[]):
        with Footprint() as held:  # this warms up
            WAYS[step.way](rows, block, few, batch_size, once, 0)
        begun = time.perf_counter()
        WAYS[step.way](rows, block, few, batch_size, once, 0)
        pair = time.perf_counter() - begun
    grown = (plan.examples / rows.examples) ** _GROWTH[step.way] * (1 + shuffles) / (1 + once)
    own = replace(plan.sizes, n=rows.examples, shuffles=once)
    beside = held.most - own.of(step.way, block, kernels=step.kernels)
    return pair * grown * as_many, step.size + beside if step.way in ("sums", "rows") else 0


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
