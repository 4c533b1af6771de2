"""Pointwise results written over their arguments, where nobody else looks at them.

Exported graphs write nothing in place, so every result takes fresh memory, which on the CPU costs as much as the
arithmetic. What a donor itself does in place is done so here again, and a little more.
"""

from __future__ import annotations

import operator
from collections.abc import Container
from typing import Any

import torch
from torch import Tensor, fx

from .scale_norms import scale, scale_over

_aten = torch.ops.aten


def add_over(first: Tensor, other: Any, **options: Any) -> Tensor:
    """The sum, written over ``first`` where it fits there."""
    return first.add_(other, **options) if _fits(first, other) else torch.add(first, other, **options)


def mul_over(first: Tensor, other: Any) -> Tensor:
    """The product, written over ``first`` where it fits there."""
    return first.mul_(other) if _fits(first, other) else torch.mul(first, other)


def _fits(first: Tensor, other: Any) -> bool:
    """Whether ``first`` has the result's type and shape in this run.

    The trace cannot tell: a side input of one row, which is repeated, counts there as a whole batch, and a caller's
    autocast comes later.
    """
    if torch.result_type(first, other) != first.dtype:
        return False
    shape = other.shape if isinstance(other, Tensor) else ()
    return len(shape) <= first.ndim and all(n in (1, m) for n, m in zip(reversed(shape), reversed(first.shape)))


_OVER: dict[Any, Any] = {
    _aten.relu.default: _aten.relu_.default,
    _aten.hardtanh.default: _aten.hardtanh_.default,
    _aten.leaky_relu.default: _aten.leaky_relu_.default,
    _aten.elu.default: _aten.elu_.default,
    _aten.silu.default: _aten.silu_.default,
    _aten.gelu.default: _aten.gelu_.default,
    _aten.sigmoid.default: _aten.sigmoid_.default,
    _aten.tanh.default: _aten.tanh_.default,
    _aten.hardswish.default: _aten.hardswish_.default,
    _aten.add.Tensor: add_over,
    _aten.mul.Tensor: mul_over,
    scale: scale_over,
}
_EITHER = (_aten.add.Tensor, _aten.mul.Tensor)  # the same whichever argument comes first
# Operations whose results are memory of their own; views and what may hand its argument back are not among them.
_NORMS = (_aten._native_batch_norm_legit_no_training.default, _aten.native_layer_norm.default)
_FRESH = (
    _aten.conv1d.default,
    _aten.conv2d.default,
    _aten.conv3d.default,
    _aten.convolution.default,
    _aten.linear.default,
    _aten.addmm.default,
    _aten.layer_norm.default,
    *_OVER,
    *_OVER.values(),
)
# Operations whose values follow from where numbers lie in memory.
_STRIDES = (_aten.as_strided.default, _aten.view_as_complex.default, _aten.view.dtype)


def write_in_place(graph: fx.Graph, readers: Container[str] = ()) -> int:
    """Rewrite a graph without gradients so that results replace arguments that nobody reads later; how many may.

    Args:
        readers: modules that the graph calls and whose results share no memory with their arguments.

    Values stay the same to the last bit. A result lies in memory as the argument it replaces, not always as the donor's
    does; so a graph that reads strides is left as it is.
    """
    if reads_strides(graph):
        return 0
    changed = 0
    done: set[fx.Node] = set()  # have read their arguments, and left nothing that shows them
    for node in graph.nodes:
        if node.target in _OVER:
            if node.target in _EITHER and not node.kwargs and not _free(node, 0, done) and _free(node, 1, done):
                node.args = (node.args[1], node.args[0])
            if _free(node, 0, done):
                node.target = _OVER[node.target]
                changed += 1
        if node.target in _FRESH or node.target in _NORMS or (node.op == "call_module" and node.target in readers):
            done.add(node)
    return changed


def reads_strides(graph: fx.Graph) -> bool:
    """Whether an operation of the graph depends on how its argument lies in memory."""
    return any(node.target in _STRIDES for node in graph.nodes)


def _free(node: fx.Node, position: int, done: set[fx.Node]) -> bool:
    """Whether an argument may be overwritten with the result: memory of its own, read here last, of the same form."""
    argument = node.args[position]
    if not isinstance(argument, fx.Node) or not _fresh(argument) or not (argument.users.keys() - {node}) <= done:
        return False
    if sum(other is argument for other in node.args) > 1:
        return False
    before, after = argument.meta.get("val"), node.meta.get("val")
    return isinstance(before, Tensor) and isinstance(after, Tensor) and _form(before) == _form(after)


def _fresh(node: fx.Node) -> bool:
    if node.target is operator.getitem:
        source = node.args[0]
        return isinstance(source, fx.Node) and source.target in _NORMS
    return node.target in _FRESH


def _form(value: Tensor) -> tuple[Any, ...]:
    return value.dtype, [str(size) for size in value.shape]  # sizes in words: comparing symbols would bind them
