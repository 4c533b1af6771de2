"""A value brought into one of the forms that a stitcher takes, the batch first, and back: by moving axes alone.

What cannot be brought there is no exact cut, and the reason says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from ..trace.trace import Trace
from .samples import FIRST, SampleAxis

LOST = -1  # in place of the channels' axis
# By kind the axis of the channels, the batch being axis 0.
CHANNEL_AXIS = {"map": 1, "sequence": 1, "grid": 3, "tokens": 2, "vector": 1, "volume": 1, "lattice": 4}
_FIRST = {2: "sequence", 3: "map", 4: "volume"}  # channels before the positions, by the number of sizes
_LAST = {1: "vector", 2: "tokens", 3: "grid", 4: "lattice"}
_aten = torch.ops.aten


@dataclass(frozen=True)
class Arranged:
    """How a value lies, and how it is brought to (batch, ...) in a known form.

    Attributes:
        shape: of one sample, as arranged; -1 for an entry that varies.
        kind: "map", "sequence", "volume", "grid", "lattice", "tokens" or "vector"; "other" where it cannot be arranged.
        why: the reason, where it cannot.
        split: the sizes with folded axes taken apart, -1 for the batch; none where nothing is folded.
        order: of the axes taken apart, in the arranged value; none where they stay.
        joined: the arranged shape, where axes are merged or added.
        raw: the sizes of the value itself, -1 for the axis of the batch.
    """

    shape: tuple[int, ...]
    kind: str
    why: str = ""
    split: tuple[int, ...] = ()
    order: tuple[int, ...] = ()
    joined: tuple[int, ...] = ()
    raw: tuple[int, ...] = ()

    @property
    def as_it_is(self) -> bool:
        """Whether the value itself has the form."""
        return not (self.split or self.order or self.joined)

    def arrange(self, graph: fx.Graph, value: fx.Node) -> fx.Node:
        """Add to a graph what brings the value into the form."""
        if self.split:
            value = _reshape(graph, value, self.split)
        if self.order:
            value = graph.call_function(_aten.permute.default, (value, list(self.order)))
        return _reshape(graph, value, (-1, *self.joined)) if self.joined else value

    def back(self, graph: fx.Graph, value: fx.Node) -> fx.Node:
        """Add to a graph what brings an arranged value back."""
        apart = self.split or self.raw
        if self.joined:
            value = _reshape(graph, value, [apart[at] for at in self.order] if self.order else apart)
        if self.order:
            value = graph.call_function(
                _aten.permute.default, (value, [self.order.index(at) for at in range(len(self.order))])
            )
        return _reshape(graph, value, self.raw) if self.split else value


def _reshape(graph: fx.Graph, value: fx.Node, sizes: Any) -> fx.Node:
    return graph.call_function(_aten.reshape.default, (value, list(sizes)))


def arranged(node: fx.Node, trace: Trace, axes: dict[fx.Node, int], samples: dict[fx.Node, SampleAxis]) -> Arranged:
    """How a value lies.

    ``axes`` are those of the channels, ``samples`` where the samples are, as far as they are known.
    """
    value = node.meta.get("val")
    if not isinstance(value, Tensor):
        return Arranged((), "other", "it is no tensor")
    where, sizes = samples.get(node), list(value.shape)
    if where is None:
        shape = tuple(_number(size) for size in (sizes[1:] if trace.batched(node) else sizes))
        return Arranged(shape, "other", f"where in its {_words(sizes)} the samples lie cannot be told")
    others = tuple(_number(size) for at, size in enumerate(sizes) if at != where.axis)
    if value.is_complex():
        return Arranged(others, "other", "its numbers are complex, and a stitcher maps real ones")
    if not value.is_floating_point():
        return Arranged(others, "other", f"it holds no real numbers but {str(value.dtype).removeprefix('torch.')}")
    if -1 in others:
        return Arranged(others, "other", "its size depends on the values of the sample")
    if 0 in others:
        return Arranged(others, "other", "it holds no number")
    return _arranged(sizes, where, axes.get(node, 0), trace)


class _Apart:
    """A value's axes, those that were folded into the batch's apart from it."""

    def __init__(self, sizes: list[Any], where: SampleAxis) -> None:
        folded = [n for n in (where.before, -1, where.after) if n != 1]
        pieces = [(n, at) for at, size in enumerate(sizes) for n in (folded if at == where.axis else [int(size)])]
        self.split = tuple(n for n, _ in pieces)  # -1 for the batch
        self.axes = tuple(at for _, at in pieces)  # of which axis each is
        self.batch = self.split.index(-1)
        self.rest = [at for at in range(len(pieces)) if at != self.batch]
        self.folded = len(pieces) > len(sizes)
        self.raw = tuple(-1 if at == where.axis else int(size) for at, size in enumerate(sizes))

    def channels(self, where: SampleAxis, axis: int, trace: Trace) -> int | None:
        """Which of them holds the channels, of which ``axis`` is known; None if it cannot be told."""
        held = [at for at in self.rest if axis > 0 and self.axes[at] == axis]
        own = [(at, self.split[at]) for at in self.rest if self.axes[at] != where.axis]
        plain = where == FIRST and not self.folded
        return held[0] if len(held) == 1 else _guessed(own, axis, trace, plain=plain)


def _arranged(sizes: list[Any], where: SampleAxis, axis: int, trace: Trace) -> Arranged:
    apart = _Apart(sizes, where)
    taken, raw = apart.split if apart.folded else (), apart.raw
    shape = tuple(apart.split[at] for at in apart.rest)
    if len(shape) < 2:
        order = _moved((apart.batch, *apart.rest))
        return Arranged(shape or (1,), "vector", "", taken, order, () if shape else (1,), raw)
    channels = apart.channels(where, axis, trace)
    if channels is None:
        return Arranged(shape, "other", f"which axis of its {_words(sizes)} holds the channels cannot be told")
    positions = tuple(at for at in apart.rest if at != channels)
    kind = _kind(apart.rest, channels, apart.folded)
    order = (apart.batch, *positions, channels) if kind in _LAST.values() else (apart.batch, channels, *positions)
    shape = tuple(apart.split[at] for at in order[1:])
    joined = (math.prod(shape[:-1]), shape[-1]) if kind == "tokens" and len(positions) > 1 else ()
    return Arranged(joined or shape, kind, "", taken, _moved(order), joined, raw)


def _moved(order: tuple[int, ...]) -> tuple[int, ...]:
    """An order of axes; none where they stay."""
    return () if order == tuple(range(len(order))) else order


def _kind(rest: list[int], channels: int, folded: bool) -> str:
    """What a value is, by its axes without the batch's and by that of the channels among them."""
    last = channels == rest[-1]
    if len(rest) > 4 or (folded and last and len(rest) == 3):  # frames of tokens are no image
        return "tokens"
    return (_LAST if last or (len(rest) == 3 and channels == rest[1]) else _FIRST)[len(rest)]


def _guessed(own: list[tuple[int, int]], axis: int, trace: Trace, *, plain: bool) -> int | None:
    """Which of a sample's axes, given with their sizes, holds the channels, where the graph does not tell.

    Of two the last, of a map by its aspect.

    Lost channels of a map, shuffled in groups most likely, are told by its aspect, too; of two axes nothing is said
    then.
    """
    if len(own) < 3:
        return own[-1][0] if own and axis != LOST else None
    if len(own) > 3 or not plain:
        return None
    return own[-1 if _looks_channels_last([size for _, size in own], trace) else 0][0]


def _looks_channels_last(shape: list[int], trace: Trace) -> bool:
    """Whether (a, b, c) is (height, width, channels): by the aspect of an image input."""
    value = trace.data.meta["val"]
    if value.ndim != 4:
        return False
    height, width = int(value.shape[2]), int(value.shape[3])
    first = abs(shape[0] * width - shape[1] * height)
    last = abs(shape[1] * width - shape[2] * height)
    return first < last


def _number(size: Any) -> int:
    return -1 if isinstance(size, torch.SymInt) else int(size)


def _words(sizes: list[Any]) -> str:
    return f"axes ({', '.join('n' if isinstance(size, torch.SymInt) else str(size) for size in sizes)})"
