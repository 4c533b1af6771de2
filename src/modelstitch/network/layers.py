"""The list of a network's layers: name, shape, kind, and whether a cut there is exact or why not."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, fx, nn

from ..support.words import first_of
from .cuts import Flow
from .graph import operation
from .layout.arrange import CHANNEL_AXIS, LOST, Arranged, arranged
from .layout.channels import channel_axes, channels_lost
from .layout.positions import Over, positions_over
from .layout.samples import samples_in
from .trace.trace import LayerCall, Trace
from .units import Value, visited

HEAD = ("layer", "shape", "kind", "parameters below", "depth", "cut")  # of the table of layers
_WEIGHTED = (
    "conv",
    "linear",
    "addmm",
    ".mm.",
    ".bmm.",
    "matmul",
    "scaled_dot_product",
    "embedding",
    "lstm",
    "gru",
    "rnn",
)


@dataclass(frozen=True)
class Layer:
    """A named value inside a network.

    Attributes:
        name: of the names of the value that of the unit that ends there, if one does, else the shortest.
        aliases: all names of the value, the shortest first.
        shape: the shape of one sample, without the batch dimension; -1 for an entry that varies.
        kind: "map" (channels, height, width), "grid" (height, width, channels), "sequence" (channels, positions), as
            of a Conv1d, "tokens" (tokens, channels), "volume" (channels, depth or time, height, width), "lattice" (the
            same, channels last), "vector" (channels), or "other". Where the value itself has its batch elsewhere, or
            folded into another axis, shape and kind are those of the value with its batch first, which is what parts
            take and give.
        over: what its positions lie on: an "image", a "line" such as time, a "text", or "" where the graph does not
            tell. Unequal numbers of positions can meet over images and over lines.
        grid: (height, width) of the last map before it, where one is known: the aspect in which tokens over an image
            lie.
        module: class name of the module that made it.
        exact: whether the network can be cut here exactly.
        why: empty if exact, else the reason in words.
        nearest: the exact cuts just before and after, where this one is not exact.
        depth: the fraction of the network's weighted operations that lie at or below the layer, 0 to 1.
        parameters: the number of parameters needed to compute the layer from the input.
        dtype: the type of its numbers.
    """

    name: str
    aliases: tuple[str, ...]
    shape: tuple[int, ...]
    kind: str
    over: str
    grid: tuple[int, int] | None
    module: str
    exact: bool
    why: str
    nearest: tuple[str, ...]
    depth: float
    parameters: int
    dtype: torch.dtype

    @property
    def channels(self) -> int:
        """The size of the dimension that a stitcher maps."""
        axis = CHANNEL_AXIS.get(self.kind, len(self.shape))
        return self.shape[axis - 1] if self.shape else 1

    @property
    def positions(self) -> tuple[int, ...]:
        """The sizes of the others, () for a vector."""
        return positions_of(self.kind, self.shape)


def positions_of(kind: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A sample's shape without its channels."""
    axis = CHANNEL_AXIS.get(kind, len(shape)) - 1
    return (*shape[:axis], *shape[axis + 1 :])


@dataclass(frozen=True)
class Found:
    """All layers in forward order; of every name the node, and how it lies where that has to be changed.

    The block cuts.
    """

    layers: dict[str, Layer]
    nodes: dict[str, fx.Node]
    arranged: dict[str, Arranged]
    blocks: tuple[str, ...]


Described = Sequence[tuple[str, str, float]]  # (name, kind, depth) of a network's block cuts


def matching(bottom: Described, top: Described) -> list[tuple[int, int]]:
    """Pair layers: the same one of the same architecture.

    Else for each layer of the top the one of the bottom that is nearest in depth, among those that give the same kind
    of activation (a map, tokens, a vector) where there are any.
    """
    if [name for name, _, _ in bottom] == [name for name, _, _ in top]:
        return [(at, at) for at in range(len(top))]
    return [
        (min(range(len(bottom)), key=lambda at: (bottom[at][1] != kind, abs(bottom[at][2] - depth), at)), here)
        for here, (_, kind, depth) in enumerate(top)
    ]


def list_layers(trace: Trace, flow: Flow, module: nn.Module) -> Found:
    """All that is to be known of a network's layers."""
    positions = {node: i for i, node in enumerate(trace.graph.nodes)}
    calls = _calls(trace, positions)
    lies, over = _layout(trace, calls)
    exact = [n for n in calls if flow.exact(n) and n is not trace.data and lies[n].kind != "other"]
    depths = _Below(trace).measured(calls)
    inner = {n: Value(_names(calls[n]), depths[n][0], lies[n].shape) for n in exact if n is not trace.output}
    blocks = tuple(name for _, name in visited(module, list(inner.values())))
    title = {node: _title(_names(made), blocks) for node, made in calls.items()}

    def layer(node: fx.Node, name: str) -> Layer:
        why = "" if node in exact else _why(node, trace, flow, title) or lies[node].why
        at = bisect_left(exact, positions[node], key=positions.__getitem__)
        return Layer(
            name=name,
            aliases=tuple(sorted(_names(calls[node]), key=_by_length)),
            shape=lies[node].shape,
            kind=lies[node].kind,
            over=over[node].what,
            grid=over[node].grid,
            module=next(call.module for call in calls[node] if call.name == name),
            exact=not why,
            why=why,
            nearest=tuple(title[near] for near in exact[max(at - 1, 0) : at + 1]) if why else (),
            depth=depths[node][0],
            parameters=depths[node][1],
            dtype=_dtype(node),
        )

    layers = {name: layer(node, name) for node, name in title.items()}
    moved = {title[node]: how for node, how in lies.items() if not how.as_it_is}
    return Found(layers, {call.name: call.node for call in trace.layers}, moved, blocks)


def _calls(trace: Trace, positions: dict[fx.Node, int]) -> dict[fx.Node, list[LayerCall]]:
    """The calls that gave each value, in forward order."""
    calls: dict[fx.Node, list[LayerCall]] = {}
    for call in sorted(trace.layers, key=lambda call: positions[call.node]):
        calls.setdefault(call.node, []).append(call)
    return calls


def _names(calls: Sequence[LayerCall]) -> tuple[str, ...]:
    return tuple(call.name for call in calls)


def _title(names: Sequence[str], blocks: Sequence[str]) -> str:
    """What a value is called: by the unit that ends there, else by the shortest of its names."""
    return next((name for name in names if name in blocks), min(names, key=_by_length))


def _dtype(node: fx.Node) -> torch.dtype:
    value = node.meta.get("val")
    return value.dtype if isinstance(value, Tensor) else torch.float32


def _layout(trace: Trace, values: Iterable[fx.Node]) -> tuple[dict[fx.Node, Arranged], dict[fx.Node, Over]]:
    """Of every value how it lies, and what its positions lie on."""
    axes = channel_axes(trace.graph)
    over = positions_over(trace.graph, trace.data, axes)
    axes |= dict.fromkeys(channels_lost(trace.graph, axes), LOST)
    samples = samples_in(trace)
    lies = {node: arranged(node, trace, axes, samples) for node in values}
    mixed = {node for node, how in lies.items() if how.kind == "tokens" and how.joined}  # frames, one behind the other
    return lies, {node: Over() if node in mixed else over.get(node, Over()) for node in lies}


def _by_length(name: str) -> tuple[int, str]:
    return len(name), name


class _Below:
    """Weighted operations and parameters below every node, as bit sets: one pass over the graph."""

    def __init__(self, trace: Trace) -> None:
        self.sizes: list[int] = []  # of each bit: 0 for an operation, else the elements of a parameter
        self.masks: dict[fx.Node, int] = {}
        bit_of: dict[int, int] = {}
        for node in trace.graph.nodes:
            mask = 0
            for source in node.all_input_nodes:
                mask |= self.masks[source]
            weight = trace.weights.get(node)
            if weight is not None and weight.kind == "parameter":
                mask |= 1 << bit_of.setdefault(id(weight.tensor), self._bit(weight.tensor.numel()))
            elif _is_weighted(node):
                mask |= 1 << self._bit(0)
            self.masks[node] = mask
        self.operations = sum(1 << i for i, size in enumerate(self.sizes) if size == 0)
        self.elements = np.array(self.sizes, np.int64)
        self.total = max(1, (self.masks[trace.output] & self.operations).bit_count())

    def _bit(self, size: int) -> int:
        self.sizes.append(size)
        return len(self.sizes) - 1

    def measured(self, nodes: Iterable[fx.Node]) -> dict[fx.Node, tuple[float, int]]:
        """(share of the weighted operations, number of parameters) at or below each."""
        return {node: self._measure(node) for node in nodes}

    def _measure(self, node: fx.Node) -> tuple[float, int]:
        mask = self.masks[node]
        bits = np.frombuffer(mask.to_bytes(len(self.sizes) // 8 + 1, "little"), np.uint8)
        parameters = int(np.unpackbits(bits, bitorder="little", count=len(self.sizes)) @ self.elements)
        return (mask & self.operations).bit_count() / self.total, parameters


def _is_weighted(node: fx.Node) -> bool:
    """Whether a node is a convolution, matrix product, attention, embedding or recurrent kernel."""
    return node.op == "call_function" and any(mark in f".{node.target}." for mark in _WEIGHTED)


def _why(node: fx.Node, trace: Trace, flow: Flow, title: dict[fx.Node, str]) -> str:
    if node is trace.data:
        return "it is the input itself"
    if node not in flow.depends:
        return "it does not depend on the data input"
    if node not in flow.order:
        return (
            "it does not reach the chosen output" if node in flow.carries else "it holds no learnt value of the sample"
        )
    if flow.exact(node):
        return ""
    around = dict.fromkeys(_describe(source, trace, title) for source in flow.around(node))
    return f"bypassed by {first_of(list(around))}"


def _describe(source: fx.Node | None, trace: Trace, title: dict[fx.Node, str]) -> str:
    if source is None:
        return f"the input {trace.form.paths[trace.form.data]!r}, which meets parameters again after it"
    if source is trace.data:
        return f"the input {trace.form.paths[trace.form.data]!r}"
    if source in title:
        return title[source]
    stack = source.meta.get("nn_module_stack") or {}
    inside = [path for path, _ in stack.values()]
    where = inside[-1].removeprefix("net").lstrip(".") if inside else ""
    what = operation(source) if "." in str(source.target) else source.name
    return f"a value inside {where} ({what})" if where else f"a value in forward ({what})"


def row_of(layer: Layer, blocks: Collection[str]) -> list[str]:
    """A layer's row: where it is no exact cut, why not."""
    return [
        layer.name,
        "x".join(map(str, layer.shape)),
        f"{layer.kind} ({layer.over})" if layer.kind in ("tokens", "sequence") and layer.over else layer.kind,
        f"{layer.parameters:,}",
        f"{layer.depth:.2f}",
        ("block" if layer.name in blocks else "exact") if layer.exact else f"no: {layer.why}",
    ]


def said_of(layers: Collection[Layer], blocks: Collection[str], *, view: str, weights: str, was_run: bool) -> list[str]:
    """What stands below the table: the view, the weights, and how many layers can be cut."""
    exact = sum(layer.exact for layer in layers)
    told = [
        f"View: {view}. Weights: {weights}.",
        f"{len(layers)} layers, {exact} exact cuts, {len(blocks)} of them block cuts (what compare visits).",
    ]
    if not was_run:
        told.append("The model was not run: without weights in memory the trace is not checked against the module.")
    return told
