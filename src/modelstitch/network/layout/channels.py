"""On which axis of a value its channels lie: followed through the graph from the operations that say so.

A convolution or a batch norm has its channels second, a matrix product or a layer norm last, unless they are known to
lie elsewhere: then it works along time, or over all of a map. What comes between keeps, moves or merges axes. Channels
that are taken apart, into groups or heads, are followed until they are one axis again. Before the first such operation
it is the one that reads a value that tells. Where there is none, or two disagree, nothing is said.
"""

from __future__ import annotations

import operator
from typing import Any

from torch import Tensor, fx

from .axes import new_order
from .regroup import HeldAxes, contracted, reduced, reshaped

_SECOND = (
    "im2col",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "convolution",
    "batch_norm",
    "_native_batch_norm_legit_no_training",
    "group_norm",
    "native_group_norm",
    "instance_norm",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "max_pool2d_with_indices",
    "pixel_shuffle",
    "upsample_nearest2d",
    "upsample_bilinear2d",
    "upsample_bicubic2d",
)
_LAST = ("linear", "layer_norm", "native_layer_norm", "rms_norm", "embedding", "lstm", "gru", "rnn_tanh", "rnn_relu")
_LAST_UNLESS_KNOWN = ("linear", "layer_norm", "native_layer_norm", "rms_norm")
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
    apart: dict[fx.Node, HeldAxes] = {}
    for node in graph.nodes:
        axis = _axis(node, axes)
        held = (axis,) if axis is not None else _apart(node, axes, apart)
        if held is not None and len(held) > 1:
            apart[node] = held
        elif held is not None and held[0] > 0:
            axes[node] = held[0]
    for node in reversed(graph.nodes):
        if node not in axes and (read := _agreed([_read(node, user, axes) for user in node.users])):
            axes[node] = read
    return axes


def _read(value: fx.Node, user: fx.Node, axes: dict[fx.Node, int]) -> int | None:
    """On which axis what uses a value takes its channels to lie."""
    if user.op != "call_function" or not user.args or user.args[0] is not value:
        return None
    name, rank = _name(user), _rank(value)
    if name in _SECOND:
        return 1
    if name in _LAST and name != "embedding":
        return _over(user, rank)
    return axes.get(user) if _sizes(user) == _sizes(value) or (name in _PADS and rank == _rank(user)) else None


def _over(node: fx.Node, rank: int) -> int | None:
    """The last axis, unless a norm is over several."""
    several = "norm" in _name(node) and len(node.args[1]) > 1  # type: ignore[arg-type]
    return rank - 1 if rank and not several else None


def channels_lost(graph: fx.Graph, axes: dict[fx.Node, int]) -> set[fx.Node]:
    """Values whose channels lie at no known axis, while those they come from had theirs before the last axis.

    What is known of none, or of channels that lay last, may be taken for tokens; these not.
    """
    first: dict[fx.Node, bool] = {}  # whether the channels of the nearest known values lay before the last axis
    for node in graph.nodes:
        below = [first[source] for source in node.all_input_nodes if source in first]
        if node in axes:
            first[node] = axes[node] < _rank(node) - 1
        elif below:
            first[node] = all(below)
    return {node for node, lost in first.items() if lost and node not in axes}


def _axis(node: fx.Node, axes: dict[fx.Node, int]) -> int | None:
    if node.op != "call_function" or not node.args:
        return None
    name = _name(node)
    if name in _SECOND:
        return 1
    if name in _LAST:
        return _last(node, name, axes)
    if name == "einsum":
        return None  # see _apart
    source = node.args[0]
    if node.target is operator.getitem:
        return _of_tuple(node, axes)
    if isinstance(source, list | tuple):
        return _agreed([axes.get(s) for s in source if isinstance(s, fx.Node)]) if name == "cat" else None
    if not isinstance(source, fx.Node) or source not in axes:
        return _elementwise(node, axes)
    before, rank = axes[source], _rank(source)
    order = new_order(node, rank)
    if order is not None:
        return order.index(before)
    if name in _SHAPED:
        return _reshaped(_sizes(source), _sizes(node), before)
    if name == "unsqueeze":
        at = int(node.args[1]) % (rank + 1)  # type: ignore[arg-type]
        return before + (at <= before)
    if name in _REDUCED or name in ("select", "squeeze"):
        return _narrowed(node, before, rank, _dims(node, rank))
    alike = _elementwise(node, axes)
    if (
        alike is not None
        or name in _AXES_OF_ITS_OWN
        or any(_sizes(s) == _sizes(node) for s in node.all_input_nodes if s in axes)
    ):
        return alike
    return before if rank == _rank(node) else None  # cut, padded, resized, gated: the axes stay


def _last(node: fx.Node, name: str, axes: dict[fx.Node, int], rank: int | None = None) -> int | None:
    """The last axis, unless the operation works along another one than the channels of what it reads."""
    if name in _LAST_UNLESS_KNOWN and node.args[0] in axes:
        return axes[node.args[0]]  # type: ignore[index]
    return _over(node, _rank(node) if rank is None else rank)


def _apart(node: fx.Node, axes: dict[fx.Node, int], apart: dict[fx.Node, HeldAxes]) -> HeldAxes | None:
    """The axes of channels that lie, or have lain, on several; one where they come together."""
    if node.op != "call_function" or not node.args:
        return None
    name, asked = _name(node), node
    source: Any = node.args[0]

    def held(value: Any) -> HeldAxes | None:
        return (axes[value],) if value in axes else apart.get(value)

    if name == "einsum":
        operands: Any = node.args[1]
        return contracted(str(source), [held(operand) for operand in operands])
    if not isinstance(source, fx.Node):
        return None
    if node.target is operator.getitem and _name(source) in _WITH_PLACE:
        name, asked, source = _REDUCED[0], source, source.args[0]
    before = held(source)
    if before is not None and name in _SHAPED:
        return reshaped(_sizes(source), _sizes(node), before)
    if source not in apart or name in _PRODUCTS or before is None:
        return None
    rank = _rank(source)
    order = new_order(node, rank)
    if order is not None:
        return tuple(sorted(order.index(axis) for axis in before))
    if name in _REDUCED:
        gone = _dims(asked, rank)
        return reduced(before, gone, kept=_rank(node) == rank) if gone else None
    alike = [held(s) for s in node.all_input_nodes if _sizes(s) == _sizes(source)]
    agree = all(other in (None, before) for other in alike)
    return before if agree and _sizes(node) == _sizes(source) else None


def _name(node: fx.Node) -> str:
    return str(node.target).split(".")[1] if "." in str(node.target) else str(node.target)


def _elementwise(node: fx.Node, axes: dict[fx.Node, int]) -> int | None:
    """That of the arguments of the value's own shape, if it is one."""
    own = _sizes(node)
    return _agreed([axes.get(s) for s in node.all_input_nodes if own and _sizes(s) == own])


def _agreed(found: list[int | None]) -> int | None:
    told = {axis for axis in found if axis is not None}
    return told.pop() if len(told) == 1 else None


def _of_tuple(node: fx.Node, axes: dict[fx.Node, int]) -> int | None:
    """A part of what an operation gives: of a recurrent kernel its output, of a tensor taken apart a slice."""
    source: Any = node.args[0]
    name = _name(source)
    if name in _LAST:
        return _last(source, name, axes, _rank(node)) if node.args[1] == 0 else None
    if name in _SECOND:
        return 1 if node.args[1] == 0 else None
    inner = source.args[0] if source.args else None
    if name == "unbind" or not isinstance(inner, fx.Node) or inner not in axes:
        return None
    if name in _WITH_PLACE:
        return _narrowed(node, axes[inner], _rank(inner), _dims(source, _rank(inner)))
    return axes[inner] if name in _TAKEN_APART or _rank(node) == _rank(inner) else None


def _reshaped(old: list[Any], new: list[Any], before: int) -> int | None:
    """The axis stays one of its own if all before it, or all behind it, is as it was; else it was merged or split."""
    if new[: before + 1] == old[: before + 1]:
        return before
    behind = len(old) - before
    if len(new) >= behind and new[-behind:] == old[-behind:]:
        return len(new) - behind
    return None


def _narrowed(node: fx.Node, before: int, rank: int, gone: list[int]) -> int | None:
    if _rank(node) == rank:  # keepdim, or nothing to squeeze
        return before
    left = reduced((before,), gone, kept=False) if gone else None
    return left[0] if left else None


def _dims(node: fx.Node, rank: int) -> list[int]:
    """The axes that are reduced, selected from or squeezed; none where they are not given."""
    gone: Any = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    if gone is None:
        return []
    return [int(d) % rank for d in (gone if isinstance(gone, list | tuple) else [gone])]


def _sizes(node: fx.Node) -> list[Any]:
    value = node.meta.get("val")
    return [str(size) for size in value.shape] if isinstance(value, Tensor) else []


def _rank(node: fx.Node) -> int:
    value = node.meta.get("val")
    return value.ndim if isinstance(value, Tensor) else 0
