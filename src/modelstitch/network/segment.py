"""A piece of a traced network as a module: the nodes between two places, copied, with frozen shared weights."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from .clean import sym_node
from .inputs import InputForm
from .trace import Trace

_INPUT = "input_"


class Segment(nn.Module):
    """From the input, or from one layer's activation, to one or several values.

    Weights are detached, frozen and share storage with the donor; moving or casting a segment never changes the donor.
    Gradients flow through to the activation.
    """

    def __init__(self, trace: Trace, start: fx.Node | None, stops: dict[str, fx.Node], *, single: bool) -> None:
        super().__init__()
        graph, weights, self._inputs = _copy(trace, start, list(stops.values()))
        for target, submodule in trace.submodules.items():
            weights.setdefault(target, submodule)
        used = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
        self.body = fx.GraphModule({k: v for k, v in weights.items() if k in used}, graph)
        self._form: InputForm = trace.form
        self._from_layer = start is not None
        self._names = None if single else tuple(stops)

    @property
    def needs_input(self) -> bool:
        """Whether the network's input is needed beside the activation: masks, positions, other side inputs."""
        return self._from_layer and bool(self._inputs)

    def _run(self, activation: list[Tensor], inputs: list[Tensor] | None) -> Any:
        side = [] if inputs is None else [inputs[i] for i in self._inputs]
        result = self.body(*activation, *side)
        return result[0] if self._names is None else dict(zip(self._names, result))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Segment:
        super()._apply(fn, recurse)
        device = fn(torch.empty(0)).device  # what a move does to a tensor it does to the devices written in the graph
        changed = False
        for node in self.body.graph.nodes:
            if isinstance(node.kwargs.get("device"), torch.device) and node.kwargs["device"] != device:
                node.kwargs = {**node.kwargs, "device": device}
                changed = True
        if changed:
            self.body.recompile()
        return self


class FromInput(Segment):
    """Input -> activation (one value) or input -> {layer: activation}."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call it as the network is called, or with one argument in the form of the example."""
        return self._run([], self._form.flatten(args, kwargs))


class FromLayer(Segment):
    """(activation, input=None) -> value."""

    def forward(self, activation: Tensor, input: Any = None) -> Any:
        """``input`` is the network's input, needed only where masks or other side inputs pass the cut."""
        if not self._inputs:
            return self._run([activation], None)
        if input is None:
            from ..errors import NetworkError

            names = ", ".join(self._form.tensor_paths[i] for i in self._inputs)
            raise NetworkError(f"This part of the network also reads {names}: call it as top(activation, input).")
        return self._run([activation], self._form.flatten((input,), {}))


def _copy(trace: Trace, start: fx.Node | None, stops: list[fx.Node]) -> tuple[fx.Graph, dict[str, Any], list[int]]:
    needed = _needed(start, stops, trace)
    graph = fx.Graph()
    environment: dict[fx.Node, Any] = {}
    if start is not None:
        activation = graph.placeholder("activation")
        environment[start] = activation
    inputs = [i for i, node in enumerate(trace.inputs) if node in needed and node is not start]
    for i in inputs:
        environment[trace.inputs[i]] = graph.placeholder(f"{_INPUT}{i}")
    batch = None
    if start is not None:
        batch = _batch_of(graph, activation, start, trace)
    weights: dict[str, Any] = {}
    for node in trace.graph.nodes:
        if node not in needed or node in environment:
            continue
        if node in trace.weights:
            weight = trace.weights[node]
            target = _target(weight.name, weights, weight.tensor)
            weights.setdefault(target, _frozen(weight.tensor, weight.kind))
            environment[node] = graph.get_attr(target)
        elif batch is not None and node.target is torch.ops.aten.sym_size.int:
            environment[node] = _size(graph, node, trace, batch, environment)
        else:
            environment[node] = graph.node_copy(node, environment.__getitem__)
    graph.output(tuple(environment[stop] for stop in stops))
    return graph, weights, inputs


def _needed(start: fx.Node | None, stops: list[fx.Node], trace: Trace) -> set[fx.Node]:
    seen: set[fx.Node] = set()
    stack = list(stops)
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node is start or (start is not None and _is_batch_size(node, trace)):
            continue  # in a top, the batch size is read off the activation
        stack.extend(node.all_input_nodes)
    return seen


def _is_batch_size(node: fx.Node, trace: Trace) -> bool:
    if node.target is not torch.ops.aten.sym_size.int:
        return False
    value = node.meta["val"]
    if not isinstance(value, torch.SymInt):
        return True
    ratio = value.node.expr / trace.batch
    return bool(getattr(ratio, "is_Integer", False))


def _batch_of(graph: fx.Graph, activation: fx.Node, start: fx.Node, trace: Trace) -> fx.Node | None:
    for dim, entry in enumerate(start.meta["val"].shape):
        if isinstance(entry, torch.SymInt):
            ratio = entry.node.expr / trace.batch
            if getattr(ratio, "is_Integer", False):
                size = graph.call_function(torch.ops.aten.sym_size.int, (activation, dim))
                return size if int(ratio) == 1 else graph.call_function(operator.floordiv, (size, int(ratio)))
    return None


def _size(graph: fx.Graph, node: fx.Node, trace: Trace, batch: fx.Node, environment: dict[fx.Node, Any]) -> Any:
    value = node.meta["val"]
    found = sym_node(graph, value.node.expr if isinstance(value, torch.SymInt) else value, trace.batch, batch)
    return found if found is not None else graph.node_copy(node, environment.__getitem__)


def _target(name: str, weights: dict[str, Any], tensor: Tensor) -> str:
    # Tied tensors keep one name each; names of constants may clash with a module's path.
    return name if name.isidentifier() or "." in name else f"constant_{len(weights)}"


def _frozen(tensor: Tensor, kind: str) -> Tensor:
    if kind == "parameter":
        return nn.Parameter(tensor.detach(), requires_grad=False)
    return tensor.detach()
