"""One ``torch.export`` trace of a module: a functional graph with a symbolic batch, and the value of every layer.

Layers are found with forward hooks on a copy that shares the caller's tensors. Each hook returns a clone of the
module's first tensor as an additional output of the traced function; the clone's argument, after functionalisation,
is the value at that moment, whatever is done to it in place later. This names tuple outputs, Identity and repeated
calls rightly, and does not depend on how a tracer keeps module boundaries.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from ..errors import NetworkError, TraceError
from .clean import clean
from .inputs import InputForm, repeat_batch


@dataclass(frozen=True)
class Weight:
    """A tensor the graph reads: a parameter, a buffer, or a constant made while tracing."""

    name: str
    tensor: Tensor
    kind: str  # "parameter" | "buffer" | "constant"


@dataclass(frozen=True)
class LayerCall:
    """One call of a named module, and the graph value of its first tensor output."""

    name: str
    node: fx.Node
    module: str  # class name
    container: bool  # has children


@dataclass
class Trace:
    """What tracing found."""

    graph: fx.Graph
    inputs: list[fx.Node]
    weights: dict[fx.Node, Weight]
    output: fx.Node
    layers: list[LayerCall]
    form: InputForm
    batch: Any  # the sympy symbol of the batch size
    output_name: str
    submodules: dict[str, nn.Module]

    @property
    def data(self) -> fx.Node:
        return self.inputs[self.form.data_position]


def trace(module: nn.Module, example: Any, *, name: str, data: str | int | None, output: str | int | None) -> Trace:
    """Trace ``module`` in eval mode.

    The module is never changed: a copy with the same tensors, without dropout, is traced.

    Raises:
        TraceError: if the module cannot be traced, keeps the batch size fixed, draws random numbers or writes buffers.
    """
    form, leaves = InputForm.learn(example, data)
    leaves = repeat_batch(leaves, form)
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    if not leaves[form.data].ndim:
        raise TraceError(f"The data input of {name!r} is a single number: expected a batch in its first dimension.")
    twin = _twin(module)
    traced = _Traced(twin, form, output)
    batch_size = leaves[form.data].shape[0]
    dynamic = [{0: torch.export.Dim.AUTO} if t.ndim and t.shape[0] == batch_size else {} for t in tensors]
    try:
        with warnings.catch_warnings(), _rng_kept(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.export.export(traced, (tensors,), strict=False, dynamic_shapes=(dynamic,))
            program = program.run_decompositions({})
    except NetworkError:
        raise
    except Exception as error:  # torch.export raises whatever the module's own code raises
        raise TraceError(_cannot_trace(name, error)) from error
    return _read(program, traced, form, name)


def _read(program: torch.export.ExportedProgram, traced: _Traced, form: InputForm, name: str) -> Trace:
    signature, graph = program.graph_signature, program.graph_module.graph
    if signature.buffers_to_mutate:
        written = sorted(_strip(target) for target in signature.buffers_to_mutate.values())
        raise TraceError(
            f"The network {name!r} writes its buffer {written[0]!r} in eval mode: expected a frozen network; "
            "keep the statistics fixed in eval mode before stitching."
        )
    placeholders = {node.name: node for node in graph.nodes if node.op == "placeholder"}
    weights: dict[fx.Node, Weight] = {}
    for kind, table in (
        ("parameter", signature.inputs_to_parameters),
        ("buffer", signature.inputs_to_buffers),
        ("constant", signature.inputs_to_lifted_tensor_constants),
    ):
        for node_name, target in table.items():
            source: Any = program.state_dict.get(target, program.constants.get(target))
            weights[placeholders[node_name]] = Weight(_strip(target), source, kind)
    inputs = [placeholders[node_name] for node_name in signature.user_inputs if isinstance(node_name, str)]
    data = inputs[form.data_position]
    size = data.meta["val"].shape[0]
    if not isinstance(size, torch.SymInt):
        raise TraceError(
            f"The network {name!r} fixes the batch size to {size}: expected any batch size; look for view() or "
            "reshape() calls with the batch written as a number."
        )
    output_node = next(node for node in reversed(graph.nodes) if node.op == "output")
    values = list(output_node.args[0])
    chosen, clones = values[0], values[1:]
    layers = [
        LayerCall(call, _first_argument(clone), kind, container)
        for (call, kind, container), clone in zip(traced.record.calls, clones, strict=True)
    ]
    if not isinstance(chosen, fx.Node):
        raise TraceError(f"The output of {name!r} does not depend on its input.")
    graph.erase_node(output_node)
    for clone in dict.fromkeys(clones):
        if isinstance(clone, fx.Node) and not clone.users and clone is not chosen:
            graph.erase_node(clone)
    layers = [layer for layer in layers if layer.node is not None]
    replaced = clean(graph, data, size.node.expr, name)
    for old, new in replaced.items():
        layers = [LayerCall(c.name, new if c.node is old else c.node, c.module, c.container) for c in layers]
        chosen = new if chosen is old else chosen
    submodules = {
        str(node.target): program.graph_module.get_submodule(str(node.target))
        for node in graph.nodes
        if node.op == "get_attr"
    }
    return Trace(graph, inputs, weights, chosen, layers, form, size.node.expr, traced.record.output_name, submodules)


class _Record:
    """What the hooks of one forward saw."""

    def __init__(self) -> None:
        self.output_name = ""
        self.clear()

    def clear(self) -> None:
        self.calls: list[tuple[str, str, bool]] = []
        self.values: list[Tensor] = []
        self.counts: dict[str, int] = {}


class _Traced(nn.Module):
    """The function that is traced: flat tensors in, the chosen output and a clone of every layer's value out."""

    def __init__(self, net: nn.Module, form: InputForm, output: str | int | None) -> None:
        super().__init__()
        self.net = net
        self.form = form
        self.output = output
        self.record = _Record()  # an object of its own: the tracer puts a module's lists and strings back
        for name, child in net.named_modules():
            if name:
                child.register_forward_hook(self._hook(name), always_call=False)

    def _hook(self, name: str) -> Any:
        found = self.record

        def record(module: nn.Module, args: Any, result: Any) -> None:
            value = first_tensor(result)
            if value is None:
                return
            found.counts[name] = count = found.counts.get(name, 0) + 1
            call = name if count == 1 else f"{name}#{count}"
            container = next(module.children(), None) is not None
            found.calls.append((call, _original_kind(module), container))
            found.values.append(value.clone())

        return record

    def forward(self, tensors: list[Tensor]) -> Any:
        self.record.clear()
        args, kwargs = self.form.rebuild(tensors)
        result = self.net(*args, **kwargs)
        self.record.output_name, chosen = choose_output(result, self.output)
        return (chosen, *self.record.values)


def choose_output(result: Any, wanted: str | int | None) -> tuple[str, Tensor]:
    """The one output that is compared: the wanted one, else ``logits``, else the first tensor.

    Raises:
        NetworkError: if the wanted output is missing or no output is a tensor.
    """
    named = _named_outputs(result)
    if wanted is not None:
        key = str(wanted)
        if key not in named:
            raise NetworkError(
                f"The network has no output {key!r}: it returns {', '.join(named) or type(result).__name__}; choose output= from these."
            )
        value = first_tensor(named[key])
    elif "logits" in named:
        key, value = "logits", first_tensor(named["logits"])
    else:
        found = [(k, tensor) for k, v in named.items() if (tensor := first_tensor(v)) is not None]
        key, value = found[0] if found else ("", None)
    if value is None:
        raise NetworkError(f"No output of the network is a tensor: it returns {type(result).__name__}; choose output=.")
    return key, value


def first_tensor(result: Any) -> Tensor | None:
    """The first tensor in a nest of tuples, lists, mappings and dataclasses; None if there is none."""
    if isinstance(result, Tensor):
        return result
    for value in _named_outputs(result).values() if not isinstance(result, (str, bytes)) else ():
        if value is not result and (tensor := first_tensor(value)) is not None:
            return tensor
    return None


def _named_outputs(result: Any) -> dict[str, Any]:
    if isinstance(result, Tensor):
        return {"0": result}
    if isinstance(result, Mapping):
        return {str(k): v for k, v in result.items() if v is not None}
    if is_dataclass(result) and not isinstance(result, type):
        return {f.name: getattr(result, f.name) for f in fields(result) if getattr(result, f.name) is not None}
    if hasattr(result, "_fields"):
        return {k: v for k, v in zip(result._fields, result) if v is not None}
    if isinstance(result, (tuple, list)):
        return {str(i): v for i, v in enumerate(result) if v is not None}
    return {}


def _twin(module: nn.Module) -> nn.Module:
    """A copy that shares every tensor, in eval mode, with dropout taken out and caches switched off."""
    shared = {id(t): t for t in (*module.parameters(), *module.buffers())}
    try:
        twin = copy.deepcopy(module, shared)
    except Exception as error:
        raise TraceError(
            f"The network cannot be copied for tracing ({type(error).__name__}: {_first_line(error)}): expected a "
            "module that copy.deepcopy accepts; remove open handles or non-leaf tensors stored on it."
        ) from error
    twin.eval()
    for parent in list(twin.modules()):
        config = getattr(parent, "config", None)
        if getattr(config, "use_cache", None):
            config.use_cache = False  # a cache object among the outputs breaks the trace; the numbers are the same
        for name, child in list(parent.named_children()):
            if _is_dropout(child):
                identity = nn.Identity()
                identity.original_kind = type(child).__name__  # type: ignore[assignment]
                setattr(parent, name, identity)
    return twin


def _is_dropout(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.dropout._DropoutNd) or type(module).__name__ in (
        "DropPath",
        "StochasticDepth",
    )


def _original_kind(module: nn.Module) -> str:
    return str(getattr(module, "original_kind", type(module).__name__))


@contextmanager
def _rng_kept() -> Iterator[None]:
    state = torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(state)


def _first_argument(clone: Any) -> Any:
    if isinstance(clone, fx.Node) and clone.op == "call_function" and clone.target is torch.ops.aten.clone.default:
        return clone.args[0]
    return clone if isinstance(clone, fx.Node) else None


def _strip(target: str) -> str:
    return target.removeprefix("net.")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else "no message"


def _cannot_trace(name: str, error: Exception) -> str:
    line = _first_line(error)
    text = f"{type(error).__name__} {line}".lower()
    if "datadependent" in text or "data-dependent" in text or "guardon" in text:
        hint = "replace the branch on tensor values in forward() (an `if`, .item() or .tolist()) by torch.where"
    elif "shape" in text or "size" in text or "expected" in text:
        hint = "check that the example has the size and type the network was made for"
    else:
        hint = "simplify forward(), or trace the part of the network that computes on tensors"
    return f"The network {name!r} cannot be traced by torch.export ({type(error).__name__}: {line}): {hint}."
