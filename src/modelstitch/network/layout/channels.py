"""On which axis of a value its channels lie: followed through the graph from the operations that say so.

A convolution or a batch norm has its channels second, a matrix product or a layer norm last, unless they are known to
lie elsewhere: then it works along time, or over all of a map. What comes between keeps, moves or merges axes. Channels
that are taken apart, into groups, heads or pieces, are followed until they are one axis again. Before the first such
operation it is the one that reads a value that tells. Where there is none, or two disagree, nothing is said.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from torch import fx

from ..graph import new_order, operation, option, rank, sizes

HeldAxes = tuple[int, ...]

_SECOND_NAMES = """
    im2col conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution
    batch_norm _native_batch_norm_legit_no_training group_norm native_group_norm instance_norm
    max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d max_pool2d_with_indices
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d
    pixel_shuffle upsample_nearest2d upsample_bilinear2d upsample_bicubic2d
"""
_SECOND = frozenset(_SECOND_NAMES.split())
_LAST_UNLESS_KNOWN = ("linear", "layer_norm", "native_layer_norm", "rms_norm")
_LAST = (*_LAST_UNLESS_KNOWN, "embedding", "lstm", "gru", "rnn_tanh", "rnn_relu")
_SHAPED = ("view", "reshape", "_unsafe_view", "flatten", "unflatten", "contiguous", "clone")
_REDUCED = ("mean", "sum", "amax", "amin")
_WITH_PLACE = ("max", "min", "median", "mode")  # along one axis: values, and where they were
_PADS = ("pad", "constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "replication_pad1d", "replication_pad2d")
_PRODUCTS = ("matmul", "bmm", "baddbmm")
_AXES_OF_ITS_OWN = ("stack", "col2im", "unfold", "as_strided")
_TAKEN_APART = ("split", "chunk", "split_with_sizes", "unbind")


def channel_axes(graph: fx.Graph) -> dict[fx.Node, int]:
    """The axis of the channels, the batch being axis 0, of every value of which it can be told."""
    axes: dict[fx.Node, int] = {}
    held: dict[fx.Node, HeldAxes] = {}  # also of channels that lie on several
    for node in graph.nodes:
        axis = _axis(node, axes)
        found = (axis,) if axis is not None else _apart(node, held)
        if found is not None and found != (0,):
            held[node] = found
            axes |= {node: found[0]} if len(found) == 1 else {}
    for node in reversed(graph.nodes):
        if node not in axes and (read := _agreed([_read(node, user, axes) for user in node.users])):
            axes[node] = read
    return axes


def channels_lost(graph: fx.Graph, axes: dict[fx.Node, int]) -> set[fx.Node]:
    """Values whose channels lie at no known axis, while those they come from had theirs before the last axis.

    What is known of none, or of channels that lay last, may be taken for tokens; these not.
    """
    first: dict[fx.Node, bool] = {}  # whether the channels of the nearest known values lay before the last axis
    for node in graph.nodes:
        below = [first[source] for source in node.all_input_nodes if source in first]
        if node in axes:
            first[node] = axes[node] < rank(node) - 1
        elif below:
            first[node] = all(below)
    return {node for node, lost in first.items() if lost and node not in axes}


def _read(value: fx.Node, user: fx.Node, axes: dict[fx.Node, int]) -> int | None:
    """On which axis what uses a value takes its channels to lie."""
    if user.op != "call_function" or not user.args or user.args[0] is not value:
        return None
    name = operation(user)
    if name in _SECOND:
        return 1
    if name in _LAST and name != "embedding":
        return _over(user, rank(value))
    return axes.get(user) if sizes(user) == sizes(value) or (name in _PADS and rank(value) == rank(user)) else None


def _over(node: fx.Node, axes: int) -> int | None:
    """The last axis, unless a norm is over several."""
    several = "norm" in operation(node) and len(node.args[1]) > 1  # type: ignore[arg-type]
    return axes - 1 if axes and not several else None


def _axis(node: fx.Node, axes: dict[fx.Node, int]) -> int | None:
    """That of a value, by the operation that makes it."""
    if node.op != "call_function" or not node.args:
        return None
    name, source = operation(node), node.args[0]
    if name in _SECOND:
        return 1
    if name in _LAST:
        return _last(node, rank(node), axes)
    if name == "einsum":
        return None  # see _apart
    if node.target is operator.getitem:
        return _of_tuple(node, axes)
    if isinstance(source, list | tuple):
        return _agreed([axes.get(s) for s in source if isinstance(s, fx.Node)]) if name == "cat" else None
    return _moved(node, source, axes) if isinstance(source, fx.Node) and source in axes else _elementwise(node, axes)


def _last(node: fx.Node, own: int, axes: dict[fx.Node, int]) -> int | None:
    """The last of ``own`` axes, unless the operation works along another one than the channels of what it reads."""
    if operation(node) in _LAST_UNLESS_KNOWN and node.args[0] in axes:
        return axes[node.args[0]]  # type: ignore[index]
    return _over(node, own)


def _moved(node: fx.Node, source: fx.Node, axes: dict[fx.Node, int]) -> int | None:
    """Where an operation leaves the axis that its first argument has its channels on."""
    before, name = axes[source], operation(node)
    order = new_order(node)
    if order is not None:
        return order.index(before)
    if name in _SHAPED:
        return _stayed(sizes(source), sizes(node), before)
    if name == "unsqueeze":
        at = int(node.args[1]) % (rank(source) + 1)  # type: ignore[arg-type]
        return before + (at <= before)
    if name in (*_REDUCED, "select", "squeeze"):
        return _narrowed(node, node, source, before)
    alike = _elementwise(node, axes)
    own_form = any(sizes(s) == sizes(node) for s in node.all_input_nodes if s in axes)
    if alike is not None or name in _AXES_OF_ITS_OWN or own_form:
        return alike
    return before if rank(source) == rank(node) else None  # cut, padded, resized, gated: the axes stay


def _stayed(old: list[Any], new: list[Any], before: int) -> int | None:
    """The axis stays one of its own if all before it, or all behind it, is as it was; else it was merged or split."""
    if new[: before + 1] == old[: before + 1]:
        return before
    behind = len(old) - before
    return len(new) - behind if len(new) >= behind and new[-behind:] == old[-behind:] else None


def _of_tuple(node: fx.Node, axes: dict[fx.Node, int]) -> int | None:
    """A part of what an operation gives: of a recurrent kernel its output, of a tensor taken apart a slice."""
    source: Any = node.args[0]
    name = operation(source)
    if name in _LAST or name in _SECOND:
        return None if node.args[1] != 0 else 1 if name in _SECOND else _last(source, rank(node), axes)
    inner = source.args[0] if source.args else None
    if name == "unbind" or not isinstance(inner, fx.Node) or inner not in axes:
        return None
    if name in _WITH_PLACE:
        return _narrowed(node, source, inner, axes[inner])
    return axes[inner] if name in _TAKEN_APART or rank(node) == rank(inner) else None


def _narrowed(node: fx.Node, asked: fx.Node, source: fx.Node, before: int) -> int | None:
    if rank(node) == rank(source):  # keepdim, or nothing to squeeze
        return before
    left = reduced((before,), _dims(asked, rank(source)), kept=False)
    return left[0] if left else None


def _dims(node: fx.Node, axes: int) -> list[int]:
    """The axes that are reduced, selected from or squeezed; all where they are not given."""
    gone: Any = option(node, 1, "dim")
    if gone in (None, []):
        return list(range(axes))
    return [int(d) % axes for d in (gone if isinstance(gone, list | tuple) else [gone])]


def _elementwise(node: fx.Node, axes: dict[fx.Node, int]) -> int | None:
    """That of the arguments of the value's own shape, if it is one."""
    own = sizes(node)
    return _agreed([axes.get(s) for s in node.all_input_nodes if own and sizes(s) == own])


def _agreed(found: list[int | None]) -> int | None:
    told = {axis for axis in found if axis is not None}
    return told.pop() if len(told) == 1 else None


def _apart(node: fx.Node, held: dict[fx.Node, HeldAxes]) -> HeldAxes | None:
    """The axes of channels that lie, or have lain, on several; one where they come together."""
    if node.op != "call_function" or not node.args:
        return None
    name, asked = operation(node), node
    source: Any = node.args[0]
    if name == "einsum":
        operands: Any = node.args[1]
        return contracted(str(source), [held.get(operand) for operand in operands])
    if not isinstance(source, fx.Node):
        return None
    if node.target is operator.getitem and operation(source) in _WITH_PLACE:
        name, asked, source = _REDUCED[0], source, source.args[0]
    before = held.get(source)
    if before is None:
        return None
    if name in _SHAPED:
        return reshaped(sizes(source), sizes(node), before)
    if name in _REDUCED and len(before) > 1:
        return reduced(before, _dims(asked, rank(source)), kept=rank(node) == rank(source))
    return None if len(before) == 1 or name in _PRODUCTS else _still_apart(node, source, held)


def _still_apart(node: fx.Node, source: fx.Node, held: dict[fx.Node, HeldAxes]) -> HeldAxes | None:
    """The axes after an operation that moves them, or works on every number by itself."""
    before, order = held[source], new_order(node)
    if order is not None:
        return tuple(sorted(order.index(axis) for axis in before))
    alike = {held.get(s) for s in node.all_input_nodes if sizes(s) == sizes(source)}
    return before if alike <= {None, before} and sizes(node) == sizes(source) else None


def reshaped(old: Sequence[Any], new: Sequence[Any], held: HeldAxes) -> HeldAxes | None:
    """The axes of a reshaped value that hold what ``held``, neighbours in whatever order, held; None if others came in.

    ``old`` and ``new`` are the sizes; all before the held axes, and all behind them, is to be as it was.
    """
    first, behind = min(held), len(old) - max(held) - 1
    last = len(new) - behind
    neighbours = max(held) - first + 1 == len(held)
    same = list(new[:first]) == list(old[:first]) and list(new[last:]) == list(old[max(held) + 1 :])
    return tuple(range(first, last)) or None if neighbours and same else None


def reduced(held: HeldAxes, gone: Sequence[int], *, kept: bool) -> HeldAxes | None:
    """The axes left of ``held`` once the axes ``gone`` are reduced, with ``kept`` to one place each.

    None if none is.
    """
    left = [axis for axis in held if axis not in gone]
    return tuple(axis if kept else axis - sum(g < axis for g in gone) for axis in left) or None


def contracted(equation: str, operands: Sequence[HeldAxes | None]) -> HeldAxes | None:
    """The axes of an einsum's result that hold channels.

    Those of an operand stay theirs where they stay in the result. Where they are summed over together with an operand
    that has no batch, weights, it is the weights' other axes that take their place.

    Args:
        equation: as einsum takes it.
        operands: of every operand the axes of its channels; None where they are not known.
    """
    left, arrow, result = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if "." in equation or len(terms) != len(operands):
        return None
    if not arrow:
        result = "".join(sorted(letter for letter in set(left) - {","} if left.count(letter) == 1))
    found: set[str] = set()
    for term, held in zip(terms, operands):
        letters = {term[axis] for axis in held or ()}
        found |= letters if letters <= set(result) else _from_weights(letters - set(result), terms, result)
    return tuple(sorted(result.index(letter) for letter in found)) or None


def _from_weights(summed: set[str], terms: Sequence[str], result: str) -> set[str]:
    """The letters of a result that stand for channels where others of them were summed over with weights."""
    weights = [set(term) for term in terms if result and summed <= set(term) and result[0] not in term]
    return set().union(*weights) & set(result)
