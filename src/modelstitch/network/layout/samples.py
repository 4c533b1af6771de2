"""Where the samples of a batch lie in a value: on which axis, and beside what else if other axes were folded into it.

Most values have the batch first. Transformers of torch's default layout have it second, (positions, batch, channels);
networks over video or windows fold frames into it, (batch * frames, channels, height, width). Reshapes keep the order
of what they reshape, so that where the samples lie follows from sizes alone; what is said of no operation is taken to
leave the one axis that counts samples as it was. Where a reshape breaks samples apart, or an index puts them in another
order (experts sort the tokens they are sent), nothing is said of what comes after, until it joins a value that is
known, such as what a block's input goes round it.
"""

from __future__ import annotations

import math
import operator
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx

from ..graph import new_order, operation, option, rank, sources
from ..trace.trace import Trace

_IN_ORDER = ("view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze", "ravel")
_SPLITS = ("split", "chunk", "split_with_sizes", "tensor_split")
_PRODUCTS = ("matmul", "bmm", "baddbmm", "mm", "addmm")


class SampleAxis(NamedTuple):
    """The axis, and each sample's places on it outside (``before``) and inside (``after``) the order of samples.

    An axis of frames folded behind the batch is (axis, 1, frames); before it, (axis, frames, 1).
    """

    axis: int
    before: int = 1
    after: int = 1


FIRST = SampleAxis(0)


def samples_in(trace: Trace) -> dict[fx.Node, SampleAxis]:
    """Of every value of which it can be told where its samples lie."""
    sizes = _CountedSizes(trace.batches)
    found: dict[fx.Node, SampleAxis] = {}
    lost: set[fx.Node] = set()
    for node in trace.graph.nodes:
        held = sizes.axis(node)
        if held is None:
            continue
        if node.op == "placeholder":
            if node in trace.inputs and trace.batched(node):
                found[node] = FIRST
            continue
        where = _agreed(node, found, sizes)
        if where is not None and (where.axis, _ratio(where)) == held:
            found[node] = where
        elif any(source in found or source in lost for source in sources(node)):
            lost.add(node)
        elif held[1] == 1:  # made of the batch size alone
            found[node] = SampleAxis(held[0])
    return found


def _agreed(node: fx.Node, found: dict[fx.Node, SampleAxis], sizes: _CountedSizes) -> SampleAxis | None:
    """Where the samples of a value lie, if all that it is computed from say the same."""
    if operation(node) == "cat":
        return _joined(node, found, sizes)
    told = {_after(node, source, found[source], sizes) for source in sources(node) if source in found}
    return told.pop() if len(told) == 1 else None


class _CountedSizes:
    """The sizes of values, in numbers of samples where they count them."""

    def __init__(self, batches: frozenset[Any]) -> None:
        self._batches = batches
        self._known: dict[Any, int | None] = {}

    def axis(self, node: fx.Node) -> tuple[int, int] | None:
        """The one axis that counts samples, and how many places of it there are for each.

        None if there is none, or several.
        """
        value = node.meta.get("val")
        if not isinstance(value, Tensor):
            return None
        shape: list[Any] = list(value.shape)
        counting = [at for at, size in enumerate(shape) if isinstance(size, torch.SymInt)]
        times = self.times(shape[counting[0]]) if len(counting) == 1 else None
        return (counting[0], times) if times else None

    def times(self, size: Any) -> int | None:
        """How many times the batch size a size is."""
        expression = size.node.expr
        if expression not in self._known:
            ratios = [expression / batch for batch in self._batches if expression.has(batch)]
            whole = [int(ratio) for ratio in ratios if getattr(ratio, "is_Integer", False)]
            self._known[expression] = whole[0] if whole else None
        return self._known[expression]


def _after(node: fx.Node, source: fx.Node, where: SampleAxis, sizes: _CountedSizes) -> SampleAxis | None:
    """Where the samples of an operation's result lie, by one of its arguments; None if it cannot be told."""
    name, held = operation(node), sizes.axis(node)
    assert held is not None
    axis, times = held
    if name in _IN_ORDER:
        return _reshaped(source, node, where, axis)
    order = new_order(node)
    if order is not None:
        return where._replace(axis=order.index(where.axis))
    if name in _PRODUCTS and _summed(node, source, where):
        return None
    if name in ("repeat", "tile"):
        outer, odd = divmod(times, _ratio(where))
        return None if odd else where._replace(axis=axis, before=where.before * outer)
    if node.target is operator.getitem and isinstance(node.args[0], fx.Node) and operation(node.args[0]) in _SPLITS:
        outer, odd = divmod(times, where.after)  # pieces along the samples' axis
        return None if odd or not outer else where._replace(axis=axis, before=outer)
    return where._replace(axis=axis) if times == _ratio(where) else None


def _reshaped(source: fx.Node, node: fx.Node, where: SampleAxis, axis: int) -> SampleAxis | None:
    """The places outside and inside the order of samples stay as many: a reshape keeps the order of all."""
    old, new = source.meta["val"].shape, node.meta["val"].shape
    outside, inside = math.prod(old[: where.axis]) * where.before, math.prod(old[where.axis + 1 :]) * where.after
    before, odd = divmod(outside, max(1, math.prod(new[:axis])))
    after, uneven = divmod(inside, max(1, math.prod(new[axis + 1 :])))
    return None if odd or uneven or not before or not after else SampleAxis(axis, before, after)


def _joined(node: fx.Node, found: dict[fx.Node, SampleAxis], sizes: _CountedSizes) -> SampleAxis | None:
    """Of values put behind each other: along the samples' axis, or along another."""
    parts: Any = node.args[0]
    held = sizes.axis(node)
    places = [found.get(part) for part in parts]
    known = [place for place in places if place is not None]
    if held is None or not known:
        return None
    at = int(option(node, 1, "dim", 0)) % rank(node)
    if any(place.axis != held[0] or place.after != known[0].after for place in known):
        return None
    if at != held[0]:
        return known[0] if len(set(known)) == 1 else None
    return SampleAxis(at, sum(place.before for place in known), known[0].after) if len(known) == len(places) else None


def _summed(node: fx.Node, source: fx.Node, where: SampleAxis) -> bool:
    """Whether a matrix product sums over the samples."""
    factors = [arg for arg in node.args if isinstance(arg, fx.Node)][-2:]
    behind = where.axis - rank(source)  # -1 the last axis
    return (source is factors[0] and behind == -1) or (source is factors[1] and behind == -min(2, rank(source)))


def _ratio(where: SampleAxis) -> int:
    return where.before * where.after
