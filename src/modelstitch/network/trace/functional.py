"""An exported program whose graph writes nothing in place.

``torch.export`` keeps in-place operations; PyTorch takes them out by tracing the whole graph a second time, which
doubles the time. Most graphs do not need that: nobody looks at a value after it was overwritten but through the
operation's own result. Those are rewritten here node by node; for all others (a view of an overwritten value, a write
to an input or a buffer, an operation that looks at a tensor only for its shape) the second trace is taken.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx

aten = torch.ops.aten

# Composite operations may return their argument without saying so; these never do.
_FRESH = (
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "linear",
    "matmul",
    "batch_norm",
    "layer_norm",
    "group_norm",
    "instance_norm",
    "rms_norm",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "relu6",
    "selu",
    "scaled_dot_product_attention",
)
# These look at a tensor only for its shape or type, which would count as a path of the sample.
_SHAPE_OF_ANOTHER = ("expand_as", "view_as", "reshape_as", "type_as", "broadcast_tensors", "unflatten_dense_tensors")
_DROPOUTS = {aten.dropout.default, aten.feature_dropout.default, aten.alpha_dropout.default}


def functional(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """The program without in-place operations; its graph may be changed in place."""
    graph = program.graph_module.graph
    order = {node: at for at, node in enumerate(graph.nodes)}
    written = [node for node in order if _writes(node)]
    if any(not _rewritable(node, order) for node in written) or any(_needs_retrace(node) for node in graph.nodes):
        retraced: torch.export.ExportedProgram = program.run_decompositions({})
        return retraced
    for node in written:
        _rewrite(graph, node, order)
    for node in list(graph.nodes):
        if node.target in _DROPOUTS and not node.args[2]:
            _replace(graph, node, node.args[0])
        elif node.target is aten.batch_norm.default and not node.args[5] and node.args[3] is not None:
            _plain_norm(graph, node)
        elif _converts_nothing(node):
            _replace(graph, node, node.args[0])
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
    for user in value.users:  # the graph's output comes last
        if user is not node and order[user] < order[node] and not _copies(user):
            return False  # a view of the value may be read later
    mine = value.meta.get("val")
    others = [a.meta.get("val") for a in node.all_input_nodes if a is not value]
    return isinstance(mine, Tensor) and all(  # in place the type stays; else the types are promoted
        o.dtype == mine.dtype or (o.dtype is torch.bool and "mask" in str(node.target))
        for o in others
        if isinstance(o, Tensor)
    )


def _is_constant_copy(node: fx.Node) -> bool:
    return node.target is aten.detach_.default and node.args[0].target is aten.lift_fresh_copy.default  # type: ignore[union-attr]


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
    with graph.inserting_before(node):
        new = graph.call_function(_plain_twin(node.target), node.args, dict(node.kwargs))
    new.meta.update(node.meta)
    order[new] = order[node]
    node.replace_all_uses_with(new)
    value.replace_all_uses_with(new, delete_user_cb=lambda user: user is not new and order[user] > order[new])
    graph.erase_node(node)


def _replace(graph: fx.Graph, node: fx.Node, by: Any) -> None:
    node.replace_all_uses_with(by)
    graph.erase_node(node)


def _plain_norm(graph: fx.Graph, node: fx.Node) -> None:
    """BatchNorm with running statistics as the operation whose statistics can be exchanged (see norms.py)."""
    x, weight, bias, mean, var, _, momentum, eps, *_ = node.args
    with graph.inserting_before(node):
        norm = graph.call_function(
            aten._native_batch_norm_legit_no_training.default, (x, weight, bias, mean, var, momentum, eps)
        )
        value = node.meta["val"]
        norm.meta.update(node.meta)
        norm.meta["val"] = (value, value.new_empty(0), value.new_empty(0))
        first = graph.call_function(operator.getitem, (norm, 0))
        first.meta.update(node.meta)
    _replace(graph, node, first)


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
