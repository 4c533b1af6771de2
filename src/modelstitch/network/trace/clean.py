"""Make an exported graph fit for cutting: nothing in place, no asserts, no random numbers, shapes that hold no tensor.

``torch.export`` keeps in-place operations; PyTorch takes them out by tracing the whole graph a second time, which
doubles the time (``benchmarks/passes.py``). Most graphs do not need that: nobody looks at a value after it was
overwritten but through the operation's own result. Those are rewritten here node by node; for all others (a view of an
overwritten value, a write to an input or a buffer, an operation that looks at a tensor only for its shape) the second
trace is taken.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from ...errors import TraceError
from ..cuts import ancestors
from ..graph import NORM, put, replace
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


# Composite operations may return their argument without saying so; these never do.
_FRESH_NAMES = """
    conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d linear matmul batch_norm layer_norm
    group_norm instance_norm rms_norm max_pool1d max_pool2d max_pool3d relu6 selu scaled_dot_product_attention
"""
_FRESH = frozenset(_FRESH_NAMES.split())
# These look at a tensor only for its shape or type, which would count as a path of the sample.
_SHAPE_OF_ANOTHER = ("expand_as", "view_as", "reshape_as", "type_as", "broadcast_tensors", "unflatten_dense_tensors")
_DROPOUTS = {aten.dropout.default, aten.feature_dropout.default, aten.alpha_dropout.default}


class RandomError(TraceError):
    """A network draws random numbers."""


def functional(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """The program without in-place operations; its graph may be changed in place."""
    graph = program.graph_module.graph
    order = {node: at for at, node in enumerate(graph.nodes)}
    written = [node for node in order if _writes(node)]
    if not all(_rewritable(node, order) for node in written) or any(map(_needs_retrace, graph.nodes)):
        retraced: torch.export.ExportedProgram = program.run_decompositions({})
        return retraced
    for node in written:
        _rewrite(graph, node, order)
    for node in list(graph.nodes):
        if node.target is aten.batch_norm.default and not node.args[5] and node.args[3] is not None:
            _plain_norm(graph, node)
        elif (node.target in _DROPOUTS and not node.args[2]) or _converts_nothing(node):
            replace(graph, node, node.args[0])
    return program


def _writes(node: fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable


def _needs_retrace(node: fx.Node) -> bool:
    if node.op != "call_function":
        return False
    if isinstance(node.target, torch._ops.HigherOrderOperator):
        return True
    name = str(node.target).removeprefix("aten.")
    return name.split(".")[0] in _SHAPE_OF_ANOTHER or name == "to.other"


def _rewritable(node: fx.Node, order: dict[fx.Node, int]) -> bool:
    """Whether the plain twin of an in-place operation gives the same, and nothing else holds what is overwritten."""
    plain = _plain_twin(node.target)
    value = node.args[0] if node.args else None
    if plain is None or not isinstance(value, fx.Node) or not (_fresh(value) or _is_constant_copy(node)):
        return False
    before = [user for user in value.users if order[user] < order[node]]
    if not all(map(_copies, before)):  # a view of the value may be read later
        return False
    mine, others = value.meta.get("val"), [a.meta.get("val") for a in node.all_input_nodes if a is not value]
    kinds = {other.dtype for other in others if isinstance(other, Tensor)}
    # in place the type stays; else the types are promoted
    return isinstance(mine, Tensor) and kinds <= {mine.dtype, *([torch.bool] if "mask" in str(node.target) else [])}


def _is_constant_copy(node: fx.Node) -> bool:
    first: Any = node.args[0] if node.args else None
    return node.target is aten.detach_.default and first.target is aten.lift_fresh_copy.default


def _plain_twin(operation: Any) -> Any:
    """``aten.relu`` for ``aten.relu_``: the operation of the same arguments that returns a new tensor."""
    if operation is aten.detach_.default:
        return aten.alias.default
    packet, _, overload = str(operation).removeprefix("aten.").partition(".")
    twin = getattr(getattr(aten, packet[:-1], None), overload, None) if packet.endswith("_") else None
    if twin is None:
        return None
    mine, other = operation._schema, twin._schema
    same = [a.name for a in mine.arguments] == [a.name for a in other.arguments]
    written = [a.name for a in mine.arguments if a.alias_info is not None]
    plain = all(a.alias_info is None for a in (*other.arguments, *other.returns))
    return twin if same and plain and written == [mine.arguments[0].name] and len(other.returns) == 1 else None


def _fresh(node: fx.Node) -> bool:
    """Whether a node's result has memory of its own."""
    return node.op == "call_function" and (_writes(node) or _copies(node))


def _copies(node: fx.Node) -> bool:
    """Whether a node's result surely shares no memory with its arguments."""
    if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
        return False
    if any(a.alias_info is not None for a in (*node.target._schema.arguments, *node.target._schema.returns)):
        return False
    name: str = node.target.name()  # type: ignore[no-untyped-call]
    composite = torch._C._dispatch_has_kernel_for_dispatch_key(name, "CompositeImplicitAutograd")
    return not composite or name.split("::")[1].split(".")[0] in _FRESH


def _rewrite(graph: fx.Graph, node: fx.Node, order: dict[fx.Node, int]) -> None:
    value = node.args[0]
    assert isinstance(value, fx.Node)
    at = order[node]
    new = put(graph, node, _plain_twin(node.target), node.args, dict(node.kwargs))
    order[new] = at
    value.replace_all_uses_with(new, delete_user_cb=lambda user: user is not new and order[user] > at)


def _plain_norm(graph: fx.Graph, node: fx.Node) -> None:
    """BatchNorm with running statistics as the operation whose statistics can be exchanged (see norms.py)."""
    x, weight, bias, mean, var, _, momentum, eps, *_ = node.args
    value = node.meta["val"]
    with graph.inserting_before(node):
        norm = graph.call_function(NORM, (x, weight, bias, mean, var, momentum, eps))
    norm.meta.update(node.meta)
    norm.meta["val"] = (value, value.new_empty(0), value.new_empty(0))
    put(graph, node, operator.getitem, (norm, 0))


def _converts_nothing(node: fx.Node) -> bool:
    """Whether a ``to`` returns its argument as it is."""
    if not str(node.target).startswith("aten.to.") or not isinstance(node.args[0], fx.Node):
        return False
    before, after = node.args[0].meta.get("val"), node.meta.get("val")
    flags = node.args[1:]
    return (
        isinstance(before, Tensor)
        and isinstance(after, Tensor)
        and before.dtype == after.dtype
        and before.device == after.device
        and True not in flags
        and not any(isinstance(f, torch.memory_format) for f in (*flags, *node.kwargs.values()))
        and not node.kwargs.get("copy", False)
    )


def clean(graph: fx.Graph, data: fx.Node, chosen: fx.Node, batch: Any, name: str) -> dict[fx.Node, fx.Node]:
    """Tidy ``graph`` in place; return the nodes that were replaced.

    Raises:
        RandomError: if the chosen output is computed from random numbers.
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
            raise RandomError(
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
    kind = {"dtype": value.dtype, "device": value.device, "pin_memory": False}
    return put(graph, node, aten.full.default, (shape, fill), kind)


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
    taken = [d for d in dims if isinstance(sizes[d], int) and sizes[d] == 1]
    target = aten.squeeze.dims if taken else aten.alias.default
    return put(graph, node, target, (source, taken) if taken else (source,))
