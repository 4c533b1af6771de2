"""One ``torch.export`` trace of a module: a functional graph with a symbolic batch, and the value of every layer.

Layers are found with forward hooks on a copy that shares the caller's tensors. Each hook returns a clone of the
module's first tensor as an additional output of the traced function; the clone's argument, after functionalisation,
is the value at that moment, whatever is done to it in place later. This names tuple outputs, Identity and repeated
calls rightly, and does not depend on how a tracer keeps module boundaries.
"""

from __future__ import annotations

import io
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export.graph_signature import OutputKind

from ...errors import NetworkError, TraceError, first_line
from ..cuts import ancestors
from ..ready import Ready
from .clean import RandomError, clean, functional
from .form import InputForm, choose_output, first_tensor, repeat_batch
from .lines import SourceLine, fixed_sizes, line_of_error, without_lines
from .owner import Key, global_hooks_out
from .twin import Scripted, kind_of, make_twin, rng_kept

_MODULE, _ASKED = "transformers.masking_utils", "is_torchdynamo_exporting"


SampleShapes = tuple[tuple[int, ...], ...]  # of one sample in each tensor that a network is given


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
    sizes: tuple[int, int | None] = (2, None)  # the batch sizes, from and to, that took the example's way in forward
    ready: Ready = field(default_factory=Ready, init=False, repr=False)  # parts of it
    proved: set[SampleShapes] = field(default_factory=set)  # other than the example's, at which it is the module

    @property
    def data(self) -> fx.Node:
        return self.inputs[self.form.data_position]

    @cached_property
    def batches(self) -> frozenset[Any]:
        """The symbols that stand for the batch size.

        The tracer does not see that a side input, such as a mask that is looked up by index, has as many samples as the
        data: its size keeps a symbol of its own. Only sizes that were the example's batch size have one.
        """
        sizes = [node.meta["val"].shape[0] for node in self.inputs if node.meta["val"].ndim]
        return frozenset(size.node.expr for size in sizes if isinstance(size, torch.SymInt)) | {self.batch}

    def batched(self, node: fx.Node) -> bool:
        """Whether a value has a place for every sample in its first dimension."""
        value = node.meta["val"]
        if not isinstance(value, Tensor) or not value.ndim:
            return False
        size: Any = value.shape[0]
        return isinstance(size, torch.SymInt) and size.node.expr in self.batches

    def rebound(self, module: nn.Module) -> Trace | None:
        """The same graph over the tensors of ``module``; None where a name, a shape or a type differs.

        The graph itself may still be another one (a stride, an activation): see ``purity.agrees``.
        """
        found: dict[str, Tensor] = {
            **dict(module.named_buffers(remove_duplicate=False)),
            **dict(module.named_parameters(remove_duplicate=False)),
        }
        weights: dict[fx.Node, Weight] = {}
        for node, weight in self.weights.items():
            old = weight.tensor
            new = old if weight.kind == "constant" else found.get(weight.name)
            if new is None or (new.shape, new.dtype, new.device) != (old.shape, old.dtype, old.device):
                return None
            weights[node] = replace(weight, tensor=new)
        return replace(self, weights=weights)


def example_leaves(example: Any, data: str | int | None, name: str) -> tuple[InputForm, list[Tensor]]:
    """The form of an example and its tensors, with a batch of two or more.

    Raises:
        TraceError: if the data input has no batch, or holds no sample.
    """
    form, leaves = InputForm.learn(example, data)
    leaves = repeat_batch(leaves, form)
    if not leaves[form.data].ndim:
        raise TraceError(f"The data input of {name!r} is a single number: expected a batch in its first dimension.")
    if not leaves[form.data].shape[0]:
        raise TraceError(f"The example of {name!r} holds no sample: expected a batch of one or more.")
    return form, [leaf for leaf in leaves if isinstance(leaf, Tensor)]


def trace(
    module: nn.Module,
    form: InputForm,
    tensors: list[Tensor],
    output: str | int | None,
    name: str,
    hooks: set[Key] | None = None,
) -> Trace:
    """Trace ``module`` in eval mode on an example of that form.

    The module is never changed: a copy with the same tensors, without dropout, is traced, with those of its ``hooks``
    that are part of what it computes.

    Raises:
        TraceError: if the module cannot be traced, keeps the batch size fixed, draws random numbers or writes buffers.
    """
    try:
        with without_lines():
            return _trace(module, form, tensors, output, name, hooks)
    except RandomError:
        return _trace(module, form, tensors, output, name, hooks)  # which says at what line


def _trace(
    module: nn.Module,
    form: InputForm,
    tensors: list[Tensor],
    output: str | int | None,
    name: str,
    hooks: set[Key] | None,
) -> Trace:
    data = tensors[form.data_position]
    twin = make_twin(module, hooks=hooks)
    traced = _Traced(twin, form, output)
    dynamic = [{0: torch.export.Dim.AUTO} if t.ndim and t.shape[0] == data.shape[0] else {} for t in tensors]
    try:
        with (
            warnings.catch_warnings(),
            rng_kept(),
            _quiet(),
            masks_as_run(),
            torch.no_grad(),
            global_hooks_out(name),
            fixed_sizes() as fixed,
        ):
            warnings.simplefilter("ignore")
            if _of_another_type(twin, data):
                traced([tensor.clone() for tensor in tensors])  # the tracer takes types that a matrix product refuses
            with torch.compiler.set_stance("force_eager"):
                program = torch.export.export(traced, (tensors,), strict=False, dynamic_shapes=(dynamic,))
            ranges = dict(program.range_constraints)
            program = functional(program)
    except NetworkError:
        raise
    except Exception as error:  # torch.export raises whatever the module's own code raises
        raise TraceError(cannot_trace(name, error, form, tensors)) from error
    found = _read(program, traced, form, name, fixed)
    if found.batch in ranges:
        low, high = ranges[found.batch].lower, ranges[found.batch].upper
        found.sizes = int(low), int(high) if high < sys.maxsize else None  # torch has an infinity of its own
    return found


def _of_another_type(module: nn.Module, data: Tensor) -> bool:
    kinds = {p.dtype for p in module.parameters() if p.is_floating_point()}
    return data.is_floating_point() and bool(kinds) and data.dtype not in kinds


def _read(
    program: torch.export.ExportedProgram, traced: _Traced, form: InputForm, name: str, fixed: list[SourceLine]
) -> Trace:
    signature, graph = program.graph_signature, program.graph_module.graph
    if signature.buffers_to_mutate:
        written = sorted(_strip(target) for target in signature.buffers_to_mutate.values())
        raise TraceError(
            f"The network {name!r} writes its buffer {written[0]!r} in eval mode: expected a frozen network; "
            "keep the statistics fixed in eval mode before stitching."
        )
    placeholders = {node.name: node for node in graph.nodes if node.op == "placeholder"}
    inputs = [placeholders[node_name] for node_name in signature.user_inputs if isinstance(node_name, str)]
    data = inputs[form.data_position]
    batch = _batch(data, name, fixed)
    chosen, layers = _taken_out(program, traced)
    if not isinstance(chosen, fx.Node) or data not in ancestors(chosen):
        raise TraceError(f"The output of {name!r} does not depend on its input.")
    new = clean(graph, data, chosen, batch, name)
    layers = [replace(call, node=new.get(call.node, call.node)) for call in layers]
    held = [str(node.target) for node in graph.nodes if node.op == "get_attr"]
    submodules = {target: program.graph_module.get_submodule(target) for target in held}
    weights, said = _weights(program, traced, placeholders), traced.record.output_name
    return Trace(graph, inputs, weights, new.get(chosen, chosen), layers, form, batch, said, submodules)


def _batch(data: fx.Node, name: str, fixed: list[SourceLine]) -> Any:
    """The symbol of the batch size.

    Raises:
        TraceError: if something in forward fixed it to a number.
    """
    size = data.meta["val"].shape[0]
    if not isinstance(size, torch.SymInt) or size.node.expr.is_number:
        raise TraceError(
            f"The network {name!r} fixes the batch size to {size}{f' at {fixed[0]}' if fixed else ''}: expected any "
            f"batch size; {_unfixed(fixed[0].text if fixed else '')}."
        )
    return size.node.expr


def _weights(
    program: torch.export.ExportedProgram, traced: _Traced, placeholders: dict[str, fx.Node]
) -> dict[fx.Node, Weight]:
    """What the graph reads beside its inputs, by the owner's names, those of what TorchScript compiled, too."""
    signature, scripted = program.graph_signature, dict[int, Weight]()
    for prefix, part in traced.net.named_modules():
        if isinstance(part, Scripted):
            held = part.weights().items()
            scripted |= {place: Weight(f"{prefix}.{key}", tensor, kind) for place, (key, tensor, kind) in held}
    found: dict[fx.Node, Weight] = {}
    for kind, table in (
        ("parameter", signature.inputs_to_parameters),
        ("buffer", signature.inputs_to_buffers),
        ("constant", signature.inputs_to_lifted_tensor_constants),
    ):
        for node_name, target in table.items():
            source: Any = program.state_dict.get(target, program.constants.get(target))
            own = scripted.get(source.data_ptr()) if isinstance(source, Tensor) and scripted else None
            found[placeholders[node_name]] = own or Weight(_strip(target), source, kind)
    return found


def _taken_out(program: torch.export.ExportedProgram, traced: _Traced) -> tuple[Any, list[LayerCall]]:
    """The chosen output and the value of every call of a module; what returned them is taken out of the graph."""
    graph = program.graph_module.graph
    output = graph.output_node()
    values: Any = [  # a module that writes its inputs returns the written ones too: those are not looked at
        value
        for value, spec in zip(output.args[0], program.graph_signature.output_specs, strict=True)
        if spec.kind is OutputKind.USER_OUTPUT
    ]
    chosen, *clones = values
    layers = [
        LayerCall(call, node, kind, container)
        for (call, kind, container), clone in zip(traced.record.calls, clones, strict=True)
        if (node := _first_argument(clone)) is not None
    ]
    graph.erase_node(output)
    for clone in dict.fromkeys(clones):
        if isinstance(clone, fx.Node) and not clone.users and clone is not chosen:
            graph.erase_node(clone)
    return chosen, layers


class _HookRecord:
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
        self.record = _HookRecord()  # an object of its own: the tracer puts a module's lists and strings back
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
            found.calls.append((call, kind_of(module), container))
            found.values.append(value.clone())

        return record

    def forward(self, tensors: list[Tensor]) -> Any:
        self.record.clear()
        args, kwargs = self.form.rebuild(tensors)
        result = self.net(*args, **kwargs)
        self.record.output_name, chosen = choose_output(result, self.output)
        return (chosen, *self.record.values)


@contextmanager
def masks_as_run() -> Iterator[None]:
    """While it is entered, transformers makes the attention masks it makes when it is not exported.

    It leaves a mask out where nothing is masked, except while it is exported: then it builds one of zeros for every
    sample, and some attention kernels round otherwise with it. A network whose example carries no mask is traced as it
    runs. A mask that is an input is traced in full all the same: its values are not looked at.
    """
    module = sys.modules.get(_MODULE)
    before = getattr(module, _ASKED, None)
    if before is None:  # no network of transformers here, or a version that asks in another way
        yield
        return
    setattr(module, _ASKED, lambda: False)
    try:
        yield
    finally:
        setattr(module, _ASKED, before)


@contextmanager
def _quiet() -> Iterator[None]:
    """No log lines of the tracer, and no graphs: what goes wrong is told in the error."""
    logs = [
        logging.getLogger(f"torch.{name}") for name in ("_subclasses.fake_tensor", "fx.experimental.symbolic_shapes")
    ]
    before, said = [log.disabled for log in logs], io.StringIO()
    for log in logs:
        log.disabled = True
    try:
        with redirect_stderr(said):
            yield
    finally:
        for log, was in zip(logs, before):
            log.disabled = was
    sys.stderr.write(said.getvalue())  # of a forward that writes there; not where the trace fails


def _first_argument(clone: Any) -> Any:
    if isinstance(clone, fx.Node) and clone.op == "call_function" and clone.target is torch.ops.aten.clone.default:
        return clone.args[0]
    return clone if isinstance(clone, fx.Node) else None


def _strip(target: str) -> str:
    return target.removeprefix("net.")


_FIXING = {  # what fixes a size, and what to write
    r"\blen\(": "write x.shape[0] for len(x), which is one number for good",
    r"\bint\(|\.item\(": "leave out int(): x.shape[0] stands for any number",
    r"\bfor\b|\brange\(|unbind\(|\biter\(|\bmap\(|\bzip\(": "compute on the whole batch (torch.vmap helps) where "
    "forward() loops over its samples",
    r"view\(|reshape\(|expand\(|repeat\(": "look for view() or reshape() calls with the batch written as a number, "
    "and write x.shape[0] or -1",
}


def _unfixed(text: str) -> str:
    unknown = (
        "look for view() or reshape() calls and tensors with the batch written as a number, len(x) and "
        "int(x.shape[0]), and loops over samples"
    )
    return next((hint for pattern, hint in _FIXING.items() if re.search(pattern, text)), unknown)


def cannot_trace(
    name: str, error: Exception, form: InputForm, tensors: list[Tensor], what: str = "be traced by torch.export"
) -> str:
    """Why a module cannot be traced, in one sentence, from what its forward or the tracer raised."""
    line, place, data = first_line(error), line_of_error(error), tensors[form.data_position]
    args = form.rebuild(tensors)[0]
    text = f"{type(error).__name__} {line}".lower()
    if "datadependent" in text or "data-dependent" in text or "guardon" in text:
        hint = "replace the branch on tensor values in forward() (an `if`, .item() or .tolist()) by torch.where"
    elif "not supported for tensor subclasses" in text or "numpy" in text:
        hint = "compute in torch what forward() computes in numpy"
    elif len(args) == 1 and isinstance(args[0], list) and "list" in text:
        hint = "a list is one input of forward(); for several inputs give a tuple, for one the tensor itself"
    elif any(mark in text for mark in ("shape", "size", "expected", " dim", "input type", "scalar type", "dtype")):
        hint = (
            "check that the example has the size and type the network was made for: its data are "
            f"{str(data.dtype).removeprefix('torch.')} of shape (n, {', '.join(map(str, data.shape[1:]))})"
        )
    else:
        hint = "simplify forward(), or trace the part of the network that computes on tensors"
    where = f", {place}" if place is not None else ""
    return f"The network {name!r} cannot {what} ({type(error).__name__}: {line}{where}): {hint}."
