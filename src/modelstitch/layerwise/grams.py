"""Linear CKA from Gram matrices between examples: over minibatches, or over all examples block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..data.batch import Batch
from ..measures import Measure
from ..measures.cka import DEBIASED
from ..measures.hsic import FullSums, MinibatchSums
from ..support.fast.products import gram
from .attempt import LayerPair, measured
from .meeting import LayerKey
from .passes import Pass, Rows
from .plan import CHUNK, MINIBATCH, Block, Step

# Products of larger numbers may leave float32.
_LARGE = 1e15
_ROUGH = 8  # examples whose mean is taken off: it need not be near, only of the features' size
# A mean whose square is at most so many variances is left in the Gram matrices of rows that are not wider than this:
# the
# roundings of wider ones add up.
_SMALL = 3
_WIDE = 32_768


def run_minibatch(rows: Rows, block: Block, step: Step, batch_size: int, shuffles: int, seed: int) -> list[LayerPair]:
    """Minibatch CKA of every pair of a block, from one pass over the data."""
    sides = [list(block.left), list(block.right)]
    found = MinibatchSums(*sides, shuffles=shuffles, seed=seed)
    run = rows.open(block.layers, _Centred(rows).gram, apart=True)
    done = 0
    for batch in rows.batches(MINIBATCH):
        values = run(batch)
        left = torch.stack([values[key] for key in block.left])
        found.update(left, left if block.one_set else torch.stack([values[key] for key in block.right]))
        done += len(batch)
        rows.told(done)

    def value(measure: Measure, b: LayerKey, t: LayerKey, shuffle: int | None) -> float:
        return found.cka(*block.turned(b, t), shuffle=shuffle)

    return measured(step.measures, rows.meeting, block, value, shuffles)


def run_full(rows: Rows, block: Block, step: Step, batch_size: int, shuffles: int, seed: int) -> list[LayerPair]:
    """Linear CKA over all examples of every pair of a block.

    Chunks of examples are held, as many as ``step.held`` allows, and meet every chunk from there on; where not all are
    held, the data are passed again for the next ones.
    """
    found = FullSums(rows.examples, list(block.left), list(block.right), shuffles=shuffles, seed=seed)
    run = rows.open(block.layers, _Centred(rows).chunk, apart=True)
    for start in range(0, rows.examples, step.held):
        held: list[_Chunk] = []
        for chunk in _chunks(rows, run, start):
            if chunk.first < start + step.held:
                held.append(chunk)
            for one in held:
                met = one.meet(chunk)
                left = torch.stack([met[key] for key in block.left])
                right = left if block.one_set else torch.stack([met[key] for key in block.right])
                found.add(one.first, chunk.first, left, right)
            rows.told(min(chunk.first + CHUNK, rows.examples))

    def value(measure: Measure, b: LayerKey, t: LayerKey, shuffle: int | None) -> float:
        return found.cka(*block.turned(b, t), debiased=measure.name == DEBIASED, shuffle=shuffle)

    return measured(step.measures, rows.meeting, block, value, shuffles)


@dataclass(frozen=True)
class _Chunk:
    """Consecutive examples: the number of the first, and the rows of every layer."""

    first: int
    rows: dict[LayerKey, Tensor]

    def meet(self, other: _Chunk) -> dict[LayerKey, Tensor]:
        """The products of these examples with others, shape (a, b) each, float64."""
        if other is self:
            return {key: gram(x).double() for key, x in self.rows.items()}
        return {key: _product(x, other.rows[key]).double() for key, x in self.rows.items()}


def _product(x: Tensor, y: Tensor) -> Tensor:
    dtype = torch.promote_types(x.dtype, y.dtype)
    return gram(x.to(dtype), y.to(dtype))


def _chunks(rows: Rows, run: Pass, start: int) -> Iterator[_Chunk]:
    """The chunks of the data from example ``start`` on."""
    first = 0
    for batch in rows.batches(CHUNK):
        if first >= start:
            yield _Chunk(first, run(batch))
        first += len(batch)


class _Centred:
    """Rows without so large a mean that it would cost their Gram matrices digits.

    HSIC takes off what is left exactly.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self._shifts: dict[LayerKey, Tensor] = {}
        self._room: Tensor | None = None

    def gram(self, value: Tensor, key: LayerKey, batch: Batch) -> Tensor:
        """The float64 Gram matrix (n, n) of a layer for a batch, less the mean of a batch where one is large.

        Raises:
            NonFiniteError: NaN or infinity; the layer and the sample's id are named.
        """
        x = self.rows.rows(value, key, batch, any_order=True)
        known, made = self._shifts, None
        if key in known or x.shape[1] <= _WIDE:
            made = self._product(x, known.get(key))
        if made is None or not _centred_enough(made):
            known[key] = x.mean(0)
            made = self._product(x, known[key])
        if not bool(torch.isfinite(made.diagonal().sum())):
            self.rows.refuse(x, key, batch)
            wide = x.double()  # finite numbers whose products are not
            made = gram(wide - wide.mean(0))
        return made

    def chunk(self, value: Tensor, key: LayerKey, batch: Batch) -> Tensor:
        """The rows of a layer for a batch, less one mean for all batches, since they meet.

        Raises:
            NonFiniteError: as ``gram``.
        """
        x = self.rows.rows(value, key, batch, any_order=True)
        largest = float(torch.linalg.vector_norm(x, float("inf")))
        if not largest < float("inf"):
            self.rows.refuse(x, key, batch)
        x = x.double() if largest > _LARGE else x
        return x - self._shifts.setdefault(key, x[:_ROUGH].mean(0)).to(x.dtype)

    def _product(self, x: Tensor, shift: Tensor | None) -> Tensor:
        return gram(x if shift is None else torch.sub(x, shift, out=self._buffer(x))).double()

    def _buffer(self, x: Tensor) -> Tensor:
        """Memory for one layer's rows, kept from layer to layer: fresh memory costs as much as the arithmetic."""
        room = self._room
        if room is None or room.dtype != x.dtype or len(room) < x.numel():
            room = self._room = torch.empty(x.numel(), dtype=x.dtype, device=x.device)
        return room[: x.numel()].view(x.shape)


def _centred_enough(products: Tensor) -> bool:
    """Whether the mean of a Gram matrix's rows is so small beside what varies that it costs no digit that counts."""
    mean = products.mean()
    return bool(mean <= _SMALL * (products.diagonal().mean() - mean))
