"""The ways to values and their null levels: from all rows, from sums, from Gram matrices; or why there are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from ..data.batch import Batch
from ..errors import MeasureError, first_line
from ..measures import MEASURES, Measure, Null
from ..measures.checks import pair as checked
from ..measures.cka import DEBIASED, debiased_from_moments
from ..measures.evaluate import level
from ..measures.hsic import FullSums, MinibatchSums
from ..measures.kernels import KERNELS
from ..moments.moments import Moments
from ..moments.null import NullGrid, derangement
from ..support.fast.products import gram
from ..support.memory import alone_if_small, out_of_memory
from .meeting import LayerKey, Meeting
from .passes import Pass, Rows
from .plan import CHUNK, MINIBATCH, Block, Step


@dataclass(frozen=True)
class LayerPair:
    """One measure of one pair of layers; ``value`` is None where it is not defined, and ``note`` says why."""

    bottom: LayerKey
    top: LayerKey
    measure: Measure
    value: float | None
    null: Null | None
    note: str = ""


class SideError(MeasureError):
    """One side alone is why there is no value; the message names it."""


ValueOf = Callable[
    [Measure, LayerKey, LayerKey, int | None], float
]  # of a pair of layers, rightly paired or under a shuffle


def measured(
    measures: Sequence[Measure], meeting: Meeting, block: Block, value_of: ValueOf, shuffles: int
) -> list[LayerPair]:
    """Every measure of every pair of a block, each beside its null level.

    Args:
        value_of: the value of (measure, bottom layer, top layer, shuffle); None is the right pairing.
        shuffles: how many the null level is made of; 0 leaves it out.
    """
    found, seams = [], meeting.seams(block.left, block.right, block.pairs)
    for measure in measures:
        turned = [(t, b) for b, t in seams] if meeting.both and not measure.symmetric else []
        for b, t in seams + turned:
            values = attempt(measure, partial(value_of, measure, b, t), shuffles, f"{b} and {t}")
            found.append(LayerPair(b, t, measure, *values))
    return found


def attempt(
    measure: Measure, value_of: Callable[[int | None], float], shuffles: int, where: str
) -> tuple[float | None, Null | None, str]:
    """(the value, its null level, why one of them is missing).

    What a measure of the user's own raises takes no other with it.
    """
    value = null = None
    try:
        value = value_of(None)
        where = f"{where}, pairs shuffled"
        null = level([value_of(shuffle) for shuffle in range(shuffles)]) if shuffles else None
    except SideError as error:
        return value, null, str(error)
    except MeasureError as error:
        return value, null, f"{where}: {error}"
    except Exception as error:
        if measure is MEASURES.get(measure.name) or out_of_memory(error):
            raise
        return value, null, f"{where}: the measure {measure.name!r} raised {type(error).__name__}: {first_line(error)}"
    return value, null, ""


Whole: TypeAlias = dict[LayerKey, Tensor]  # all rows of every layer


def run_rows(rows: Rows, block: Block, step: Step, batch_size: int, shuffles: int, seed: int) -> list[LayerPair]:
    """Every pair of a block; matrices between examples are made once a layer."""
    parts = list(rows.each(block.layers, batch_size))
    whole = {key: torch.cat([part.pop(key) for part in parts]) for key in block.layers}
    n = len(next(iter(whole.values())))
    generator = torch.Generator().manual_seed(seed)
    orders = [derangement(n, generator).to(rows.device) for _ in range(shuffles)]
    with alone_if_small(min(n, max(block.layers.values()))):
        found: list[LayerPair] = []
        for measure in step.measures:
            by_kernel = measure is MEASURES.get(measure.name) and measure.name in KERNELS
            values = _by_kernel if by_kernel else _plainly
            found += measured([measure], rows.meeting, block, values(measure, whole, orders), shuffles)
        return found


def _plainly(measure: Measure, whole: Whole, orders: list[Tensor]) -> ValueOf:
    """A measure of rows, those of the top shuffled where a shuffle is asked for."""
    return lambda measure, b, t, k: measure(whole[b], whole[t] if k is None else whole[t][orders[k]])


def _by_kernel(measure: Measure, whole: Whole, orders: list[Tensor]) -> ValueOf:
    """A measure of matrices between examples, each made once."""
    made = {key: _prepared(own, measure, key) for key, own in whole.items()}

    def value(measure: Measure, b: LayerKey, t: LayerKey, shuffle: int | None) -> float:
        one, other = made[b], made[t]
        if isinstance(one, str) or isinstance(other, str):
            raise SideError(one if isinstance(one, str) else other)
        return KERNELS[measure.name].value(one, other, measure.name, None if shuffle is None else orders[shuffle])

    return value


def _prepared(rows: Tensor, measure: Measure, where: str) -> Tensor | str:
    """The side's matrix, or why there is none."""
    try:
        unit, _ = checked(rows, rows, measure=measure.name, needed=measure.min_examples, names=(where, where))
        return KERNELS[measure.name].prepare(unit, where)
    except MeasureError as error:
        return str(error)


def run_sums(rows: Rows, block: Block, step: Step, batch_size: int, shuffles: int, seed: int) -> list[LayerPair]:
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
