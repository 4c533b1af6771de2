"""How similarities will be computed and what that takes, known before anything runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch

from ..data.data import Data, Split
from ..errors import MeasureError
from ..measures import MEASURES, Measure, find
from ..measures.cka import BIASED, DEBIASED
from ..measures.cka import MINIBATCH as MINIBATCH_CKA
from ..measures.kernels import KERNELS
from ..moments.grid import MomentsGrid
from ..network import Layer, Network, check_networks
from ..support.ambient import in_settled
from ..support.memory import available_bytes, readable, require

VIEWS = {"pool": "mean over positions", "flatten": "all positions and channels as features"}
DEFAULT = ("cka", "cca", "procrustes", "r2")
MINIBATCH = 128  # examples of a minibatch, as the measure's definition has it
CHUNK = 256  # examples whose rows meet at once
Block: TypeAlias = tuple[tuple[str, ...], tuple[str, ...]]
Widths: TypeAlias = tuple[dict[str, int], dict[str, int]]

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
class Step:
    """Some of the measures, computed in one way.

    Attributes:
        way: "sums", "minibatch", "gram" or "rows".
        measures: which ones.
        blocks: (bottom layers, top layers) of each part; one, unless all together do not fit.
        size: bytes of the largest part, beside the networks and the activations of one batch.
        passes: how many times the data run through both networks, in all; not whole where a pass starts late.
        held: for "gram", the examples whose rows are held at a time.
        products: multiplications and additions beside the networks' own, where they grow with the square of the
            examples.
    """

    way: str
    measures: tuple[Measure, ...]
    blocks: tuple[Block, ...]
    size: int
    passes: float
    held: int = 0
    products: float = 0.0

    def describe(self) -> str:
        """The step in words."""
        times = "one pass" if self.passes == 1 else f"{self.passes:.3g} passes"
        cost = f", {self.products:.1e} multiplications" if self.products else ""
        names = ", ".join(measure.name for measure in self.measures)
        return f"{names}: {times}, {_IN_WORDS[self.way]}, {readable(self.size)} of memory{cost}"


@dataclass(frozen=True)
class Plan:
    """What ``similarity`` will do.

    Attributes:
        steps: one after another.
        examples: how many there are.
    """

    steps: tuple[Step, ...]
    examples: int

    @property
    def size(self) -> int:
        """Bytes of the largest step, beside the networks and the activations of one batch."""
        return max(step.size for step in self.steps)

    def describe(self) -> str:
        """The plan in words."""
        passes = sum(step.passes for step in self.steps)
        together = f"; {passes:.3g} passes in all" if len(self.steps) > 1 else ""
        return f"{self.examples:,} examples. " + "; ".join(step.describe() for step in self.steps) + together


@in_settled
def plan_similarity(
    bottom: Network,
    top: Network,
    data: Data,
    *,
    measures: Sequence[str | Measure] = DEFAULT,
    layers: tuple[Sequence[str], Sequence[str]] | None = None,
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
    if view not in VIEWS:
        raise MeasureError(f"The view {view!r} is unknown: expected one of {', '.join(VIEWS)}.")
    wanted = chosen_measures(measures)
    check_ends(bottom, top, data)
    networks = (bottom, top)
    below, above = (
        {name: width(network.layer(name), view) for name in chosen_layers(network, layers, side)}
        for side, network in enumerate(networks)
    )
    n = min(samples or data.size(split), data.size(split))
    few = [m for m in wanted if n < m.min_examples]
    if few:
        raise MeasureError(
            f"{few[0].name} needs at least {few[0].min_examples} examples, found {n} in the {split} split of "
            f"{data.name}: use a larger split or more samples."
        )
    number = max(4, *(network.layer(next(iter(w))).dtype.itemsize for network, w in zip(networks, (below, above))))
    free = available_bytes() if available is None else available
    sizes = _Bytes(n, number, shuffles)
    parts: dict[str, list[Measure]] = {}
    for measure in wanted:
        parts.setdefault(_way(measure, wanted, (below, above), sizes, free), []).append(measure)
    steps = [_step(way, chosen, (below, above), sizes, free) for way, chosen in parts.items()]
    return Plan(tuple(steps), n)


def check_ends(bottom: Network, top: Network, data: Data) -> None:
    """Refuse what is no Network, or no Data."""
    check_networks(bottom=bottom, top=top)
    if not isinstance(data, Data):
        raise MeasureError(
            f"The data must be modelstitch Data, found {type(data).__name__}: make one with Data(fit, val, test)."
        )


def chosen_measures(measures: str | Measure | Sequence[str | Measure]) -> list[Measure]:
    """The measures meant, each once; a single one needs no list."""
    several = [measures] if isinstance(measures, (str, Measure)) else measures
    wanted = list(dict.fromkeys(find(measure) for measure in several))
    if not wanted:
        raise MeasureError("No measure was chosen: expected one at least.")
    return wanted


def chosen_layers(network: Network, layers: tuple[Sequence[str], Sequence[str]] | None, side: int) -> list[str]:
    """The listed names of the layers of one side (0 the bottom, 1 the top)."""
    if layers is not None and (
        isinstance(layers, str) or len(layers) != 2 or any(s is None or isinstance(s, str) for s in layers)
    ):
        raise MeasureError(f"The layers must be two lists, the bottom's and the top's, found {layers!r}.")
    wanted = network.blocks if layers is None else network.matched(layers[side])
    if not wanted:
        asked = "was chosen" if layers is not None else f"can be compared by itself ({network.why_none})"
        raise MeasureError(
            f"No layer of {network.name!r} {asked}: expected one at least; give layers=, see Network.layers."
        )
    return list(dict.fromkeys(network.layer(name).name for name in wanted))


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


@dataclass(frozen=True)
class _Bytes:
    """Bytes that each way takes for some layers."""

    n: int
    number: int  # bytes of one activation
    shuffles: int

    def sums(self, widths: Widths) -> int:
        p, q = (sum(side.values()) for side in widths)
        return MomentsGrid.bytes_needed(*widths) + 8 * self.shuffles * p * q

    def rows(self, widths: Widths, kernels: bool = False) -> int:
        own = self.number * self.n * _total(widths)
        return own + (8 * self.n**2 * (len(widths[0]) + len(widths[1]) + 4) if kernels else 0)

    def minibatch(self, widths: Widths) -> int:
        widest = max(max(side.values()) for side in widths)
        matrices = 8 * 6 * MINIBATCH**2 * (len(widths[0]) + len(widths[1]))
        return self.number * (_total(widths) + MINIBATCH * widest) + matrices

    def gram(self, widths: Widths, held: int | None = None) -> int:
        held = CHUNK if held is None else held
        layers = len(widths[0]) + len(widths[1])
        vectors = 8 * self.n * (2 * layers + self.shuffles)
        return self.number * _total(widths) * (held + CHUNK + 1) + 8 * 6 * CHUNK**2 * layers + vectors


def _widest(widths: Widths) -> Widths:
    """The widest layer of either side."""
    bottom, top = ({name: side[name]} for side in widths for name in [max(side, key=side.__getitem__)])
    return bottom, top


def _total(widths: Widths) -> int:
    return sum(sum(side.values()) for side in widths)


def _way(measure: Measure, wanted: Sequence[Measure], widths: Widths, sizes: _Bytes, free: int | None) -> str:
    ours = measure.name if measure is MEASURES.get(measure.name) else ""
    if ours == MINIBATCH_CKA:
        return "minibatch"
    if ours == DEBIASED:
        return "gram"
    rows = sizes.rows(widths, any(m.name in KERNELS for m in wanted if m.name not in (BIASED, DEBIASED)))
    # Wide layers of few examples take less as they are.
    if measure.from_moments and sizes.sums(widths) <= rows:
        return "sums"
    if ours == BIASED:  # from whole n x n matrices where they are small, else from blocks of them
        return "rows" if sizes.rows(widths, kernels=True) <= min(sizes.gram(widths), free or math.inf) else "gram"
    if not measure.from_moments or free is None or rows <= free:
        return "rows"
    pair = _widest(widths)  # layers may be taken in blocks, down to single ones
    return "sums" if sizes.sums(pair) <= sizes.rows(pair) else "rows"


def _step(way: str, measures: Sequence[Measure], widths: Widths, sizes: _Bytes, free: int | None) -> Step:
    kernels = any(m.name in KERNELS for m in measures)
    cost: Callable[[Widths], int] = {
        "sums": sizes.sums,
        "minibatch": sizes.minibatch,
        "gram": sizes.gram,
        "rows": lambda part: sizes.rows(part, kernels),
    }[way]
    parts = _split(widths, cost, free, way)
    blocks = tuple((tuple(b), tuple(t)) for b, t in parts)
    if way != "gram":
        return Step(way, tuple(measures), blocks, max(map(cost, parts)), len(parts))
    n, passes, size, held = sizes.n, 0.0, 0, -(-sizes.n // CHUNK) * CHUNK
    if free is not None:
        for part in parts:
            room = (free - sizes.gram(part, 0)) // (sizes.number * _total(part))
            held = min(held, max(CHUNK, room // CHUNK * CHUNK))
    for part in parts:
        passes += sum(n - start for start in range(0, n, held)) / n
        size = max(size, sizes.gram(part, min(held, n)))
    return Step(way, tuple(measures), blocks, size, passes, held, float(n) ** 2 / 2 * sum(map(_total, parts)))


def _split(widths: Widths, cost: Callable[[Widths], int], free: int | None, way: str) -> list[Widths]:
    """Halve the layers of the wider side until each part fits.

    Raises:
        MeasureError: two single layers do not fit; with the size.
    """
    bottoms, tops = widths
    size = cost(widths)
    if free is None or size <= free:
        return [widths]
    if len(bottoms) == len(tops) == 1:
        names = " and ".join(dict.fromkeys(map(repr, [*bottoms, *tops])))
        require(size, f"Similarities of {names} by {_IN_WORDS[way]}", _WAY_OUT[way], available=free)
    turn = len(tops) == 1 or (len(bottoms) > 1 and sum(bottoms.values()) >= sum(tops.values()))
    long = list((bottoms if turn else tops).items())
    half = math.ceil(len(long) / 2)
    halves = dict(long[:half]), dict(long[half:])
    return [part for some in halves for part in _split((some, tops) if turn else (bottoms, some), cost, free, way)]
