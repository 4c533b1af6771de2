"""What a node of a traced graph says of itself, and how one takes another's place."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx

_MOVES = ("permute", "transpose", "swapaxes", "swapdims", "t", "mT", "adjoint", "mH", "movedim", "moveaxis")
NORM = torch.ops.aten._native_batch_norm_legit_no_training.default  # BatchNorm with running statistics


def operation(node: fx.Node) -> str:
    """The name of an operation without namespace and overload: "conv2d"."""
    return str(node.target).split(".")[1] if "." in str(node.target) else str(node.target)


def sizes(node: fx.Node) -> list[int | str]:
    """The sizes of a tensor, those that vary in words (comparing symbols would bind them); none of anything else."""
    value = node.meta.get("val")
    return [size if isinstance(size, int) else str(size) for size in value.shape] if isinstance(value, Tensor) else []


def rank(node: fx.Node) -> int:
    """The number of a tensor's axes; 0 of anything else."""
    return len(sizes(node))


def sources(node: fx.Node) -> list[fx.Node]:
    """The tensors a value is computed from; for a part of what an operation gives, those that the operation reads."""
    whole = node.args[0] if node.target is operator.getitem else node
    read = whole.all_input_nodes if isinstance(whole, fx.Node) else node.all_input_nodes
    return [source for source in read if isinstance(source.meta.get("val"), Tensor)]


def option(node: fx.Node, at: int, name: str, default: Any = None) -> Any:
    """A positional or keyword argument of an operation."""
    return node.args[at] if len(node.args) > at else node.kwargs.get(name, default)


def new_order(node: fx.Node) -> list[int] | None:
    """For every axis of the result the axis of the argument that it was.

    None if the operation does anything else than to put axes in another order.
    """
    if node.op != "call_function" or operation(node) not in _MOVES:
        return None
    target: Any = node.target
    marked = torch.empty(tuple(range(1, rank(node) + 1)), device="meta")  # of every axis a size of its own
    return [size - 1 for size in target(marked, *node.args[1:], **node.kwargs).shape]


def stored(body: fx.GraphModule, node: Any) -> Tensor | None:
    """The tensor behind a node that reads one; None of any other, and of None."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return None
    owner, _, last = str(node.target).rpartition(".")
    value: Tensor = getattr(body.get_submodule(owner), last)
    return value


def put(graph: fx.Graph, node: fx.Node, target: Any, args: Any, kwargs: Any = None) -> fx.Node:
    """Let another operation stand in a node's place."""
    with graph.inserting_before(node):
        new = graph.call_function(target, tuple(args), kwargs)
    new.meta.update(node.meta)
    replace(graph, node, new)
    return new


def replace(graph: fx.Graph, node: fx.Node, by: Any) -> None:
    """Let all who read a node read another one, and take it out."""
    node.replace_all_uses_with(by)
    graph.erase_node(node)


def tidy(body: fx.GraphModule) -> None:
    """Take out what nobody reads any more, and compile the graph."""
    body.graph.eliminate_dead_code()
    body.delete_all_unused_submodules()
    body.recompile()
