"""A piece of a traced network as a module: the nodes between two places, copied, with frozen shared weights."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, fx, nn

from ..errors import NetworkError, first_line
from ..support.memory import out_of_memory
from .layout.arrange import Arranged
from .trace.clean import of_batch, sym_node
from .trace.form import InputForm
from .trace.trace import SampleShapes, Trace

_INPUT = "input_"
Sample = tuple[tuple[int, ...], torch.dtype]  # shape and type
Edit = Callable[[fx.Graph], dict[str, nn.Module]]  # changes the copied graph; returns the modules it now calls


class CutPoint(NamedTuple):
    """Where a part begins or ends: a value, and how it is brought there to the form that parts take and give."""

    node: fx.Node
    lies: Arranged | None = None

    def arrange(self, graph: fx.Graph, value: fx.Node) -> fx.Node:
        """Add to a graph what brings the value into the form."""
        return self.lies.arrange(graph, value) if self.lies else value

    def back(self, graph: fx.Graph, value: fx.Node) -> fx.Node:
        """Add to a graph what brings a value of that form back."""
        return self.lies.back(graph, value) if self.lies else value


class Segment(nn.Module):
    """From the input, or from one layer's activation, to one or several values.

    Weights are detached, frozen and share storage with the donor; moving or casting a segment never changes the donor.
    Gradients flow through to the activation.
    """

    def __init__(
        self,
        trace: Trace,
        start: CutPoint | None,
        stops: dict[str, CutPoint],
        *,
        single: bool,
        edit: Edit | None = None,
    ) -> None:
        super().__init__()
        graph, weights, reads = _copy(trace, start, list(stops.values()))
        added = edit(graph) if edit is not None else {}
        for target, submodule in trace.submodules.items():
            weights.setdefault(target, submodule)
        used = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
        body = fx.GraphModule({**{k: v for k, v in weights.items() if k in used}, **added}, graph)
        self._hold(body, trace.form, reads, None if single else tuple(stops))

    @classmethod
    def held(cls, body: fx.GraphModule, form: InputForm, reads: list[int], **told: Any) -> Self:
        """A part of one value that was cut out before, with what else its kind says of it."""
        part = cls.__new__(cls)
        nn.Module.__init__(part)
        part._hold(body, form, reads, None)
        for key, value in told.items():
            setattr(part, key, value)
        return part

    def _hold(self, body: fx.GraphModule, form: InputForm, reads: list[int], names: tuple[str, ...] | None) -> None:
        self.body = body
        self.form, self.reads = form, reads  # of the network's inputs those that the graph takes, by position
        self._names = names

    def _run(self, activation: list[Tensor], inputs: list[Tensor] | None) -> Any:
        side = [] if inputs is None else [inputs[i] for i in self.reads]
        result = self.body(*activation, *side)
        return result[0] if self._names is None else dict(zip(self._names, result))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Segment:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        # The devices written in the graph become the weights'; without weights, what the move makes a tensor's.
        held = next(itertools.chain(self.parameters(), self.buffers()), None)
        device = (fn(torch.empty(0)) if held is None else held).device
        for part in self.modules():
            if isinstance(part, fx.GraphModule) and _write_device(part.graph, device):
                part.recompile()
        return self


def _write_device(graph: fx.Graph, device: torch.device) -> bool:
    """Put ``device`` wherever a node of the graph names one; whether anything changed."""
    changed = False
    for node in graph.nodes:
        if any(isinstance(a, torch.device) and a != device for a in (*node.args, *node.kwargs.values())):
            node.args = tuple(device if isinstance(a, torch.device) else a for a in node.args)
            node.kwargs = {k: device if isinstance(a, torch.device) else a for k, a in node.kwargs.items()}
            changed = True
    return changed


class FromInput(Segment):
    """Input -> activation (one value) or input -> {layer: activation}; ``name`` is the network's, for errors."""

    def __init__(
        self, trace: Trace, name: str, stops: dict[str, CutPoint], *, single: bool, edit: Edit | None = None
    ) -> None:
        super().__init__(trace, None, stops, single=single, edit=edit)
        self.name = name
        values = [node.meta["val"] for node in trace.inputs]
        self.made_for: list[Sample] = [(tuple(map(int, value.shape[1:])), value.dtype) for value in values]
        self.proved = trace.proved

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call it as the network is called, or with one argument in the form of the example.

        Raises:
            NetworkError: if the network cannot take inputs of another shape or type than those it was traced with.
        """
        tensors = self.form.flatten(args, kwargs)
        try:
            result = self._run([], tensors)
        except (RuntimeError, IndexError) as error:
            strange = self._strange(tensors)
            if strange is None or out_of_memory(error):
                raise
            raise NetworkError(
                f"The network {self.name!r} {strange} ({first_line(error)}); {_way_out(tensors)}."
            ) from error
        if not self.knows(shapes_of(tensors)):
            raise NetworkError(
                f"The network {self.name!r} {self._strange(tensors)}, and nobody has tried whether it computes there "
                f"what its module does: try it with check_sample(inputs) of the whole network, or {_way_out(tensors)}."
            )
        return result

    def knows(self, shapes: SampleShapes) -> bool:
        """Whether it is known to compute, on samples of these shapes, what the module does."""
        return shapes == tuple(shape for shape, _ in self.made_for) or shapes in self.proved

    def _strange(self, tensors: list[Tensor]) -> str | None:
        """The first input that is unlike the one the network was traced with, in words; another size may be fine.

        None where all are alike, or lie elsewhere than the weights do, which is another mistake.
        """
        held = next(itertools.chain(self.parameters(), self.buffers()), None)
        if held is not None and any(tensor.device != held.device for tensor in tensors):
            return None
        for path, tensor, (shape, dtype) in zip(self.form.tensor_paths, tensors, self.made_for):
            found = tuple(tensor.shape[1:])
            if found != shape or tensor.dtype != dtype:
                which = f" {path}" if len(tensors) > 1 else ""
                return (
                    f"cannot take its input{which}: expected samples {_words(shape, dtype)}, as in the example it was "
                    f"traced with, found {_words(found, tensor.dtype)}"
                )
        return None


def shapes_of(tensors: Iterable[Tensor]) -> SampleShapes:
    """The shape of one sample in each of a call's tensors."""
    return tuple(tuple(tensor.shape[1:]) for tensor in tensors)


def _way_out(tensors: list[Tensor]) -> str:
    """What to try with samples of another size: of texts, ids alone, no view makes another length."""
    if all(tensor.ndim == 2 and not tensor.is_floating_point() for tensor in tensors):
        return "give Network() an example of that length (size= of a name), or the data the example's"
    return "a view= that prepares samples may help"


def _words(shape: tuple[int, ...], dtype: torch.dtype) -> str:
    return f"{shape} of {str(dtype).removeprefix('torch.')}"


class FromLayer(Segment):
    """(activation, input=None) -> value."""

    @property
    def needs_input(self) -> bool:
        """Whether the network's input is needed beside the activation: masks, positions, other side inputs."""
        return bool(self.reads)

    def forward(self, activation: Tensor, input: Any = None) -> Any:
        """``input`` is the network's input, needed only where masks or other side inputs pass the cut."""
        if not self.reads:
            return self._run([activation], None)
        if input is None:
            names = ", ".join(self.form.tensor_paths[i] for i in self.reads)
            raise NetworkError(f"This part of the network also reads {names}: call it as top(activation, input).")
        return self._run([activation], self.form.flatten((input,), {}))


def _copy(trace: Trace, begin: CutPoint | None, ends: list[CutPoint]) -> tuple[fx.Graph, dict[str, Any], list[int]]:
    """The nodes between two places as a graph of their own, its weights, and the inputs it reads (by position)."""
    start = begin.node if begin else None
    needed = _needed(start, [end.node for end in ends], trace)
    sized = start is not None and any(_is_size(node, trace) for node in needed)
    if sized and _batch_dimension(start, trace) is None:
        needed.add(trace.data)  # an activation without a batch dimension: the size is read off the input
    inputs = [i for i, node in enumerate(trace.inputs) if node in needed and node is not start]
    graph, copies = _entered(trace, begin, inputs)
    batch = _batch_of(graph, copies, start, trace) if sized else None
    weights: dict[str, Any] = {}
    for node in trace.graph.nodes:
        if node in needed and node not in copies:
            copies[node] = _copied(graph, node, copies, trace, weights, batch)
    graph.output(tuple(end.arrange(graph, copies[end.node]) for end in ends))
    return graph, weights, inputs


def _entered(trace: Trace, begin: CutPoint | None, inputs: list[int]) -> tuple[fx.Graph, dict[fx.Node, Any]]:
    """A graph that takes the activation and some of the network's inputs, and what stands in it for each."""
    graph = fx.Graph()
    activation = graph.placeholder("activation") if begin else None
    copies: dict[fx.Node, Any] = {trace.inputs[i]: graph.placeholder(f"{_INPUT}{i}") for i in inputs}
    if begin is not None and activation is not None:
        copies[begin.node] = begin.back(graph, activation)
    return graph, copies


def _copied(
    graph: fx.Graph,
    node: fx.Node,
    copies: dict[fx.Node, Any],
    trace: Trace,
    weights: dict[str, Any],
    batch: fx.Node | None,
) -> Any:
    """A node in another graph, where it has the batch's size if that is known; a weight is filed in ``weights``."""
    if node in trace.weights:
        weight = trace.weights[node]
        target = target_of(weight.name)
        weights.setdefault(target, _frozen(weight.tensor, weight.kind))
        return graph.get_attr(target)
    if batch is not None and _is_size(node, trace):
        value = node.meta["val"]
        return sym_node(graph, value.node.expr if isinstance(value, torch.SymInt) else value, trace.batch, batch)
    copied = graph.node_copy(node, copies.__getitem__)
    if copied.target is torch.ops.aten.view.default:
        # A view of a map in channels-last memory may need a copy, which only reshape makes.
        copied.target = torch.ops.aten.reshape.default
    return copied


def _needed(start: fx.Node | None, stops: list[fx.Node], trace: Trace) -> set[fx.Node]:
    seen: set[fx.Node] = set()
    stack = list(stops)
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node is start or (start is not None and _is_size(node, trace)):
            continue  # in a top, sizes are computed from the batch size: what has that size may lie below
        stack.extend(node.all_input_nodes)
    return seen


def _is_size(node: fx.Node, trace: Trace) -> bool:
    """Whether a node is a number that follows from the batch size."""
    value = node.meta.get("val")
    if isinstance(value, torch.SymInt):
        return of_batch(value.node.expr, trace.batch)
    return node.target is torch.ops.aten.sym_size.int


def _batch_dimension(start: fx.Node | None, trace: Trace) -> tuple[int, int] | None:
    """(dimension, how many entries of it there are for one sample) of an activation; None if it has no batch."""
    for dim, entry in enumerate(start.meta["val"].shape if start is not None else ()):
        if isinstance(entry, torch.SymInt):
            ratio = entry.node.expr / trace.batch
            if getattr(ratio, "is_Integer", False):
                return dim, int(ratio)
    return None


def _batch_of(graph: fx.Graph, copies: dict[fx.Node, Any], start: fx.Node | None, trace: Trace) -> fx.Node:
    held = _batch_dimension(start, trace)
    if start is None or held is None:
        return graph.call_function(torch.ops.aten.sym_size.int, (copies[trace.data], 0))
    dim, ratio = held
    size = graph.call_function(torch.ops.aten.sym_size.int, (copies[start], dim))
    return size if ratio == 1 else graph.call_function(operator.floordiv, (size, ratio))


def target_of(name: str) -> str:
    """Where a segment files the donor's weight of that name.

    Elsewhere where a graph module has such an attribute itself.
    """
    first = name.split(".")[0]
    return f"net_.{name}" if first == "meta" or hasattr(fx.GraphModule, first) else name


def _frozen(tensor: Tensor, kind: str) -> Tensor:
    if tensor.is_inference():  # made under torch.inference_mode: no gradient may flow past it
        tensor = tensor.clone()
    if kind == "parameter":
        return nn.Parameter(tensor.detach(), requires_grad=False)
    return tensor.detach()
