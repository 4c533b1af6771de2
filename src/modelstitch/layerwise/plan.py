"""How similarities will be computed and what that takes, known before anything runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from ..data.data import Data, Split
from ..errors import MeasureError
from ..measures import MEASURES, Measure, find
from ..measures.cka import BIASED, DEBIASED
from ..measures.cka import MINIBATCH as MINIBATCH_CKA
from ..measures.kernels import KERNELS
from ..moments.grid import MomentsGrid
from ..network import Layer, Network
from ..support.kinds import kinds
from ..support.memory import available_bytes, readable, require
from ..support.words import among
from .meeting import LayerKey, Layers, Meeting, meeting_of

VIEWS = {"pool": "mean over positions", "flatten": "all positions and channels as features"}
DEFAULT = ("cka", "cca", "procrustes", "r2")
MINIBATCH = 128  # examples of a minibatch, as the measure's definition has it
CHUNK = 256  # examples whose rows meet at once
_SMALL = 2**28  # bytes of sums that are made where layers are no wider than examples are many: the quickest way

_IN_WORDS = {
    "sums": "sums of all layers",
    "minibatch": "Gram matrices of one minibatch at a time",
    "gram": "blocks of the Gram matrices between all examples",
    "rows": "all activations kept",
}
_WAY_OUT = {
    "sums": "use view='pool', fewer shuffles, or fewer samples so that activations are kept",
    "minibatch": "use view='pool'",
    "gram": "use cka_minibatch, view='pool', or fewer samples",
    "rows": "use fewer samples, view='pool', or only measures that docs/measures.md marks 'moments'",
}


@dataclass(frozen=True)
class Block:
    """Layers that are held against each other at a time.

    Attributes:
        left, right: the layers, each with its features; equal where they are one set.
        pairs: the networks, as bottom and top, that are measured here.
    """

    left: dict[LayerKey, int]
    right: dict[LayerKey, int]
    pairs: tuple[tuple[str, str], ...]

    @property
    def one_set(self) -> bool:
        """Whether every layer meets every other one and itself."""
        return self.left == self.right

    @property
    def layers(self) -> dict[LayerKey, int]:
        """All of them, each once."""
        return {**self.left, **self.right}

    @property
    def features(self) -> int:
        """Of all layers, a layer on both sides once."""
        return sum(self.layers.values())

    def turned(self, bottom: LayerKey, top: LayerKey) -> tuple[LayerKey, LayerKey]:
        """Two layers as they lie: one of the left, then one of the right."""
        return (bottom, top) if bottom in self.left and top in self.right else (top, bottom)

    def widest(self) -> Block:
        """The widest layer of either side."""
        left, right = (
            {name: side[name]} for side in (self.left, self.right) for name in [max(side, key=side.__getitem__)]
        )
        return Block(left, right, self.pairs)


@dataclass(frozen=True)
class Step:
    """Some of the measures, computed in one way.

    Attributes:
        way: "sums", "minibatch", "gram" or "rows".
        measures: which ones.
        blocks: the parts; one, unless all together do not fit, or take more than need be.
        size: bytes of the largest part, beside the networks and the activations of one batch.
        passes: how many times the data run through the networks, in all; not whole where a pass starts late, or some of
            the networks take part.
        held: for "gram", the examples whose rows are held at a time.
        products: multiplications and additions beside the networks' own, where they grow with the square of the
            examples.
        kept: all activations are kept from one pass, for all blocks.
    """

    way: str
    measures: tuple[Measure, ...]
    blocks: tuple[Block, ...]
    size: int
    passes: float
    held: int = 0
    products: float = 0.0
    kept: bool = False

    @property
    def kernels(self) -> bool:
        """Whether matrices between all examples are kept, one for each layer."""
        return self.way == "rows" and any(measure.name in KERNELS for measure in self.measures)

    def describe(self) -> str:
        """The step in words."""
        times = "one pass" if self.passes == 1 else f"{self.passes:.3g} passes"
        cost = f", {self.products:.1e} multiplications" if self.products else ""
        names = ", ".join(measure.name for measure in self.measures)
        how = _IN_WORDS[self.way]
        if self.kept:
            how = f"all activations kept{', sums of two networks at a time' if self.way == 'sums' else ', in parts'}"
        return f"{names}: {times}, {how}, {readable(self.size)} of memory{cost}"


@dataclass(frozen=True)
class Bytes:
    """Bytes that each way takes for some layers."""

    n: int
    number: int  # bytes of one activation
    shuffles: int

    def sums(self, block: Block) -> int:
        p, q = (sum(side.values()) for side in (block.left, block.right))
        return MomentsGrid.bytes_needed(block.left, None if block.one_set else block.right) + 8 * self.shuffles * p * q

    def rows(self, block: Block) -> int:
        return self.number * self.n * block.features

    def kernels(self, block: Block) -> int:
        return 8 * self.n**2 * (len(block.layers) + 4)

    def minibatch(self, block: Block) -> int:
        widest = max(block.layers.values())
        matrices = 8 * 6 * MINIBATCH**2 * len(block.layers)
        return self.number * (block.features + MINIBATCH * widest) + matrices

    def gram(self, block: Block, held: int | None = None) -> int:
        held = CHUNK if held is None else held
        layers = len(block.layers)
        vectors = 8 * self.n * (2 * layers + self.shuffles)
        rows = min(held + CHUNK, self.n) + 1
        return self.number * block.features * rows + 8 * 6 * CHUNK**2 * layers + vectors

    def of(self, way: str, block: Block, *, kernels: bool = False) -> int:
        """Of a block, beside the networks and the activations of one batch."""
        plain = {"sums": self.sums, "minibatch": self.minibatch, "gram": self.gram, "rows": self.rows}
        return plain[way](block) + (self.kernels(block) if kernels else 0)


@dataclass(frozen=True)
class Plan:
    """What ``similarity`` will do.

    Attributes:
        steps: one after another.
        sizes: what each way takes.
        networks, pairs: how many there are.
    """

    steps: tuple[Step, ...]
    sizes: Bytes
    networks: int = 2
    pairs: int = 1

    @property
    def examples(self) -> int:
        """How many there are."""
        return self.sizes.n

    @property
    def size(self) -> int:
        """Bytes of the largest step, beside the networks and the activations of one batch."""
        return max(step.size for step in self.steps)

    def describe(self) -> str:
        """The plan in words."""
        passes = sum(step.passes for step in self.steps)
        together = f"; {passes:.3g} passes in all" if len(self.steps) > 1 else ""
        family = f"{self.networks} networks, {self.pairs} pairs. " if self.pairs > 1 else ""
        return f"{family}{self.examples:,} examples. " + "; ".join(step.describe() for step in self.steps) + together


@kinds("bottom", "top", "data", "pairs", "layers", settled=True)
def plan_similarity(
    bottom: Network | Sequence[Network],
    top: Network | None = None,
    data: Data | None = None,
    *,
    pairs: str | Sequence[tuple[str, str]] = "all",
    measures: str | Measure | Sequence[str | Measure] = DEFAULT,
    layers: Layers | None = None,
    view: str = "pool",
    split: Split = "val",
    samples: int | None = None,
    shuffles: int = 20,
    available: int | None = None,
) -> Plan:
    """What ``similarity`` with these arguments will do, and how much memory and how many passes it will take.

    Raises:
        MeasureError, UnknownLayerError: as ``similarity``.
    """
    check_view(view)
    wanted = chosen_measures(measures)
    meeting = meeting_of(bottom, top, data, layers, pairs)
    assert data is not None
    return plan_of(
        meeting, data, wanted, view=view, split=split, samples=samples, shuffles=shuffles, available=available
    )


def check_view(view: str) -> None:
    """Refuse a view that is unknown."""
    if view not in VIEWS:
        raise MeasureError(f"The view {view!r} is unknown: {among(str(view), VIEWS)}")


def plan_of(
    meeting: Meeting,
    data: Data,
    measures: Sequence[Measure],
    *,
    view: str,
    split: Split,
    samples: int | None,
    shuffles: int,
    available: int | None = None,
) -> Plan:
    """As ``plan_similarity``, of networks that were read.

    Raises:
        MeasureError: too few examples, a layer that cannot be measured, or too little memory.
    """
    places = meeting.places
    widths = {key: width(layer, view) for key, (_, layer) in places.items()}
    n = min(samples or data.size(split), data.size(split))
    few = [m for m in measures if n < m.min_examples]
    if few:
        raise MeasureError(
            f"{few[0].name} needs at least {few[0].min_examples} examples, found {n} in the {split} split of "
            f"{data.name}: use a larger split or more samples."
        )
    number = max(4, *(layer.dtype.itemsize for _, layer in places.values()))
    free = available_bytes() if available is None else available
    planned = _Planned(meeting, widths, measures, Bytes(n, number, shuffles), free)
    parts: dict[str, list[Measure]] = {}
    for measure in measures:
        parts.setdefault(planned.way(measure), []).append(measure)
    steps = [planned.step(way, chosen) for way, chosen in parts.items()]
    return Plan(tuple(steps), planned.sizes, len(meeting.networks), len(meeting.pairs))


def chosen_measures(measures: str | Measure | Sequence[str | Measure]) -> list[Measure]:
    """The measures meant, each once; a single one needs no list."""
    several = [measures] if isinstance(measures, (str, Measure)) else measures
    wanted = list(dict.fromkeys(find(measure) for measure in several))
    if not wanted:
        raise MeasureError("No measure was chosen: expected one at least.")
    return wanted


def width(layer: Layer, view: str) -> int:
    """The features of one example's row.

    Raises:
        MeasureError: the layer has no fixed shape, complex numbers, or no known positions to average over.
    """
    if -1 in layer.shape or not layer.shape:
        raise MeasureError(
            f"The layer {layer.name!r} has no fixed shape for one sample, found {layer.shape}: choose another layer."
        )
    if layer.dtype.is_complex:
        raise MeasureError(
            f"The layer {layer.name!r} holds complex numbers: expected real ones; choose a layer before or behind it."
        )
    if view == "flatten":
        return int(torch.Size(layer.shape).numel())
    if layer.kind == "other":
        raise MeasureError(
            f"The layer {layer.name!r} of shape {layer.shape} has no known positions to average over: use "
            f"view='flatten'."
        )
    return layer.channels


class _Planned:
    """The ways and blocks of one meeting."""

    def __init__(
        self,
        meeting: Meeting,
        widths: dict[LayerKey, int],
        measures: Sequence[Measure],
        sizes: Bytes,
        free: int | None,
    ) -> None:
        self.meeting, self.widths, self.sizes, self.free = meeting, widths, sizes, free
        self.room = math.inf if free is None else free
        self.kernels = any(m.name in KERNELS for m in measures if m.name not in (BIASED, DEBIASED))
        self.of = {key: network.name for key, (network, _) in meeting.places.items()}
        self.whole = self._block(*meeting.whole, meeting.pairs)
        self.apart = [self._block(*meeting.ends(pair), (pair,)) for pair in meeting.pairs]
        self.largest = max(self.apart, key=sizes.sums)  # the pair of networks that takes most

    def _block(
        self, left: Sequence[LayerKey], right: Sequence[LayerKey], pairs: Sequence[tuple[str, str]] | None = None
    ) -> Block:
        return Block(
            {key: self.widths[key] for key in left},
            {key: self.widths[key] for key in right},
            tuple(self.meeting.pairs if pairs is None else pairs),
        )

    def way(self, measure: Measure) -> str:
        """How a measure is computed."""
        ours = measure.name if measure is MEASURES.get(measure.name) else ""
        sizes, room, whole = self.sizes, self.room, self.whole
        narrow = max(self.widths.values()) <= sizes.n and sizes.sums(self.largest) <= min(_SMALL, room)
        rows = sizes.rows(whole) + (sizes.kernels(whole) if self.kernels else 0)
        # Wide layers of few examples take less as they are.
        summed = measure.from_moments is not None and (narrow or sizes.sums(whole) <= rows)
        matrices = sizes.rows(whole) + sizes.kernels(whole)  # whole n x n ones
        pair = whole.widest()  # layers may be taken in blocks, down to single ones
        ways = (  # the first that holds
            ("minibatch", ours == MINIBATCH_CKA),
            ("gram", ours == DEBIASED and not narrow),
            ("sums", ours == DEBIASED or summed),
            ("gram", ours == BIASED and matrices > min(sizes.gram(whole), room)),
            ("rows", ours == BIASED or measure.from_moments is None or rows <= room),
            ("sums", sizes.sums(pair) <= sizes.rows(pair)),
        )
        return next((way for way, holds in ways if holds), "rows")

    def step(self, way: str, measures: Sequence[Measure]) -> Step:
        """Some measures in one way, in as many blocks as the memory asks for.

        Raises:
            MeasureError: two single layers do not fit; with the size.
        """
        sizes, free, whole = self.sizes, self.free, self.whole
        kernels = any(m.name in KERNELS for m in measures)
        cost: Callable[[Block], int] = partial(sizes.of, way, kernels=kernels and way == "rows")
        kept = self._kept(way, measures, cost(whole), kernels)
        if kept is not None:
            return kept
        parts = self._split(whole, cost, free, way)
        if way != "gram":
            return Step(way, tuple(measures), tuple(parts), max(map(cost, parts)), sum(map(self._share, parts)))
        n, passes, size, held = sizes.n, 0.0, 0, -(-sizes.n // CHUNK) * CHUNK
        if free is not None:
            for part in parts:
                room = (free - sizes.gram(part, 0)) // (sizes.number * part.features)
                held = min(held, max(CHUNK, room // CHUNK * CHUNK))
        for part in parts:
            passes += self._share(part) * sum(n - start for start in range(0, n, held)) / n
            size = max(size, sizes.gram(part, min(held, n)))
        products = float(n) ** 2 / 2 * sum(part.features for part in parts)
        return Step(way, tuple(measures), tuple(parts), size, passes, held, products)

    def _kept(self, way: str, measures: Sequence[Measure], whole: int, kernels: bool) -> Step | None:
        """A step that keeps all activations from one pass, where several networks would take more or more passes."""
        sizes, free = self.sizes, self.free
        every, room = sizes.rows(self.whole), self.room
        if len(self.apart) < 2 or every > room:
            return None
        left = None if free is None else free - every
        if way == "sums" and whole > min(room, every + sizes.sums(self.largest)):
            parts = [part for block in self.apart for part in self._split(block, sizes.sums, left, way)]
            size = max(map(sizes.sums, parts))
        elif way == "rows" and kernels and whole > room:
            cost = partial(sizes.of, way, kernels=True)
            parts = self._split(self.whole, cost, left, way)
            size = max(map(cost, parts))
        else:
            return None
        return Step(way, tuple(measures), tuple(parts), every + size, 1, kept=True)

    def _share(self, block: Block) -> float:
        """Which share of the networks a block runs."""
        return len({self.of[key] for key in block.layers}) / len(self.meeting.networks)

    def _split(self, block: Block, cost: Callable[[Block], int], free: int | None, way: str) -> list[Block]:
        """Halve the layers of the wider side until each part fits; of one set both sides.

        Raises:
            MeasureError: two single layers do not fit; with the size.
        """
        if not self.meeting.seams(block.left, block.right, block.pairs):
            return []
        size = cost(block)
        if free is None or size <= free:
            return [block]
        left, right = block.left, block.right
        if len(left) == len(right) == 1:
            names = " and ".join(dict.fromkeys(repr(key.removeprefix(f"{self.of[key]}@")) for key in block.layers))
            require(size, f"Similarities of {names} by {_IN_WORDS[way]}", _WAY_OUT[way], available=free)
        if block.one_set:
            one, other = _halves(left)
            parts = [(one, one), (one, other), (other, other)]
        elif len(right) == 1 or (len(left) > 1 and sum(left.values()) >= sum(right.values())):
            parts = [(half, right) for half in _halves(left)]
        else:
            parts = [(left, half) for half in _halves(right)]
        return [found for a, b in parts for found in self._split(Block(a, b, block.pairs), cost, free, way)]


def _halves(layers: dict[LayerKey, int]) -> tuple[dict[LayerKey, int], dict[LayerKey, int]]:
    long = list(layers.items())
    half = math.ceil(len(long) / 2)
    return dict(long[:half]), dict(long[half:])
