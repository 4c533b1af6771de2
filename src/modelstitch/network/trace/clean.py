"""Make an exported graph fit for cutting: no asserts, no random numbers, shapes that do not hold on to tensors."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx

from ...errors import TraceError
from ..cuts import ancestors
from .lines import line_of_node

aten = torch.ops.aten

_ASSERTS = ("_assert_tensor_metadata", "_assert_scalar", "_assert_async", "sym_constrain_range", "_guards_fn")
_SQUEEZES = (aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims)
_LIKES: dict[Any, float | None] = {
    aten.zeros_like.default: 0,
    aten.ones_like.default: 1,
    aten.full_like.default: None,
    aten.new_zeros.default: 0,
    aten.new_ones.default: 1,
    aten.new_full.default: None,
    aten.empty_like.default: 0,
    aten.new_empty.default: 0,
}
_ARITHMETIC: dict[str, Any] = {  # by the names of sympy's and torch's classes
    "Add": operator.add,
    "Mul": operator.mul,
    "Pow": operator.pow,
    "FloorDiv": operator.floordiv,
    "Mod": operator.mod,
    "PythonMod": operator.mod,
}


def clean(graph: fx.Graph, data: fx.Node, chosen: fx.Node, batch: Any, name: str) -> dict[fx.Node, fx.Node]:
    """Tidy ``graph`` in place; return the nodes that were replaced.

    Raises:
        TraceError: if the chosen output is computed from random numbers.
    """
    replaced: dict[fx.Node, fx.Node] = {}
    size = _batch_size(graph, data)
    for node in list(graph.nodes):
        if node.op == "call_function" and node.target in _LIKES:
            replaced[node] = _as_full(graph, node, size, batch)
        elif (kept := _keep_batch(graph, node)) is not None:
            replaced[node] = kept
    needed = ancestors(replaced.get(chosen, chosen))
    for node in list(graph.nodes):
        if any(mark in str(node.target) for mark in _ASSERTS) and not node.users:
            graph.erase_node(node)
        elif node in needed and is_random(node.target, node.args, node.kwargs):
            raise TraceError(
                f"The network {name!r} draws random numbers in eval mode ({node.target}{_at(node)}): expected a "
                "deterministic network; fix the noise or remove the random layer before stitching."
            )
    if not size.users:
        graph.erase_node(size)
    return replaced


def _at(node: fx.Node) -> str:
    line = line_of_node(node)
    return f", {line}" if line is not None else ""


def _batch_size(graph: fx.Graph, data: fx.Node) -> fx.Node:
    first = next(node for node in graph.nodes if node.op != "placeholder")
    with graph.inserting_before(first):
        size = graph.call_function(aten.sym_size.int, (data, 0))
    size.meta["val"] = data.meta["val"].shape[0]
    return size


def sym_node(graph: fx.Graph, expression: Any, batch: Any, size: fx.Node) -> Any:
    """A shape entry for ``expression``, computed from the batch size; None if anything else is in it."""
    if isinstance(expression, int) or getattr(expression, "is_Integer", False):
        return int(expression)
    if expression == batch:
        return size
    operation = _ARITHMETIC.get(getattr(expression.func, "__name__", ""))
    if operation is None:
        return None
    parts = [sym_node(graph, part, batch, size) for part in expression.args]
    if any(part is None for part in parts):
        return None
    result = parts[0]
    for part in parts[1:]:
        result = graph.call_function(operation, (result, part))
    return result


def of_batch(expression: Any, batch: Any) -> bool:
    """Whether ``sym_node`` can compute ``expression`` from the batch size."""
    if isinstance(expression, int) or getattr(expression, "is_Integer", False) or expression == batch:
        return True
    return getattr(expression.func, "__name__", "") in _ARITHMETIC and all(of_batch(e, batch) for e in expression.args)


def _as_full(graph: fx.Graph, node: fx.Node, size: fx.Node, batch: Any) -> fx.Node:
    """Replace zeros_like(x) and its kin by full(shape): only the shape of x is needed, so x should not be held."""
    value = node.meta["val"]
    fill = _LIKES[node.target]
    if fill is None:
        fill = node.args[2] if node.target is aten.new_full.default else node.args[1]  # type: ignore[assignment]
    entries = [entry.node.expr if isinstance(entry, torch.SymInt) else entry for entry in value.shape]
    if not all(of_batch(entry, batch) for entry in entries):
        return node
    with graph.inserting_before(node):
        shape = [sym_node(graph, entry, batch, size) for entry in entries]
        for found, entry in zip(shape, value.shape):
            if isinstance(found, fx.Node) and found is not size:
                found.meta["val"] = entry
        new = graph.call_function(
            aten.full.default,
            (shape, fill),
            {"dtype": value.dtype, "device": value.device, "pin_memory": False},
        )
    new.meta.update(node.meta)
    node.replace_all_uses_with(new)
    graph.erase_node(node)
    return new


def is_random(operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call of an operation draws random numbers."""
    if torch.Tag.nondeterministic_seeded not in getattr(operation, "tags", ()):
        return False
    schema = getattr(operation, "_schema", None)
    names = [argument.name for argument in schema.arguments] if schema else []

    def value(name: str, default: Any) -> Any:
        at = names.index(name)
        return args[at] if len(args) > at else kwargs.get(name, default)

    # Attention kernels carry the tag for their dropout; without dropout they are deterministic.
    if "dropout_p" in names:
        return bool(value("dropout_p", 0.0))
    if "dropout" in names:  # recurrent kernels: dropout between layers acts only in training
        return "train" in names and bool(value("train", False))
    for flag in ("training", "train"):
        if flag in names:
            return bool(value(flag, False))
    return True


def _keep_batch(graph: fx.Graph, node: fx.Node) -> fx.Node | None:
    """Write a ``squeeze`` so that it takes the dimensions of the example, never a batch that happens to be one."""
    source = node.args[0] if node.target in _SQUEEZES else None
    if not isinstance(source, fx.Node):
        return None
    sizes = source.meta["val"].shape
    asked: Any = node.args[1] if len(node.args) > 1 else range(len(sizes))
    dims = [d % len(sizes) for d in ([asked] if isinstance(asked, int) else asked)] if len(sizes) else []
    if all(isinstance(sizes[d], int) for d in dims):
        return None
    with graph.inserting_before(node):
        taken = [d for d in dims if isinstance(sizes[d], int) and sizes[d] == 1]
        new = (
            graph.call_function(aten.squeeze.dims, (source, taken))
            if taken
            else graph.call_function(aten.alias.default, (source,))
        )
    new.meta.update(node.meta)
    node.replace_all_uses_with(new)
    graph.erase_node(node)
    return new
