"""A part in the forms that are quickest: for sums, measures and fits, which bear a change in the last digit.

A stitched model runs as its donors do. ``benchmarks/passes.py`` shows what each form gains.

Results are written over arguments where nobody else looks at them: exported graphs write nothing in place, so every
result takes fresh memory, which on the CPU costs as much as the arithmetic. BatchNorm with running statistics is a
multiplication and a sum for each channel. Images are convolved with channels next to each other. Activations are
handed over as soon as they are there, so that not all of them have to be held.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Container, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from .graph import NORM, replace, sizes
from .network import Network
from .segment import FromInput

Take = Callable[[str, Tensor], Any]

_aten = torch.ops.aten
_CONVOLUTIONS = (_aten.convolution.default, _aten.conv2d.default)
# Operations whose values follow from where numbers lie in memory.
_STRIDES = (_aten.as_strided.default, _aten.view_as_complex.default, _aten.view.dtype)


def quick(
    network: Network, layers: Sequence[str], device: torch.device, take: Take | None = None, *, apart: bool = False
) -> nn.Module:
    """Input -> {layer: activation} on a device, without gradients, in the quickest form.

    Args:
        take: makes of (layer, activation) what is returned instead, as soon as the activation is there.
        apart: what ``take`` returns shares no memory with the activation, which may then be overwritten.
    """

    def edit(graph: fx.Graph) -> dict[str, nn.Module]:
        if device.type == "cpu" and not reads_strides(graph):
            scale_norms(graph)
        takers = hand_over(graph, layers, take) if take is not None else {}
        write_in_place(graph, takers if apart else ())
        return takers

    part = network.taps(layers, edit=edit).to(device)
    graph = part.body.graph
    images = any(node.target in _CONVOLUTIONS and len(sizes(node)) == 4 for node in graph.nodes)
    return ChannelsLast(part) if device.type == "cpu" and images and not reads_strides(graph) else part


class ChannelsLast(nn.Module):
    """Input -> {layer: activation} as the part gives it, up to rounding; maps come in channels-last memory."""

    def __init__(self, part: FromInput) -> None:
        super().__init__()
        self.part = part.to(memory_format=torch.channels_last)

    def forward(self, inputs: Any) -> Any:
        """Call it as the part is called with one argument."""
        if isinstance(inputs, Tensor) and inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return self.part(inputs)


class HandOver(nn.Module):
    """An activation -> take(layer, activation)."""

    def __init__(self, layer: str, take: Take) -> None:
        super().__init__()
        self.layer, self.take = layer, take

    def forward(self, activation: Tensor) -> Any:
        """What is returned stands in the activation's place."""
        return self.take(self.layer, activation)


def hand_over(graph: fx.Graph, layers: Sequence[str], take: Take) -> dict[str, nn.Module]:
    """Let a graph return what ``take`` makes of each of its activations, made before the next one runs.

    A layer that is named twice is one output. ``take`` must leave the activation as it is. The modules that the graph
    now calls are returned by name.
    """
    output = graph.output_node()
    (stops,) = output.args
    modules: dict[str, nn.Module] = {}
    results = []
    for at, (layer, stop) in enumerate(zip(dict.fromkeys(layers), stops, strict=True)):  # type: ignore[arg-type]
        modules[f"hand_over_{at}"] = HandOver(layer, take)
        with graph.inserting_after(stop):
            results.append(graph.call_module(f"hand_over_{at}", (stop,)))
    output.args = (tuple(results),)
    return modules


def scale_norms(graph: fx.Graph) -> int:
    """Rewrite BatchNorms of a graph; how many. Values stay the same up to rounding."""
    changed = 0
    for node in list(graph.nodes):
        if node.target is not NORM or any(u.target is not operator.getitem or u.args[1] != 0 for u in node.users):
            continue
        x, weight, bias, mean, var, _, eps = node.args
        with graph.inserting_before(node):
            new = graph.call_function(scale, (x, weight, bias, mean, var, eps))
        new.meta.update(node.meta)
        new.meta["val"] = node.meta["val"][0]
        for user in list(node.users):
            replace(graph, user, new)
        graph.erase_node(node)
        changed += 1
    return changed


def scale(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    var: Tensor,
    eps: float,
    out: Tensor | None = None,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel, shape (n, channels, ...) as ``x`` has it."""
    if x.dtype != mean.dtype or x.dtype not in (torch.float32, torch.float64):  # autocast; the norm itself rounds less
        found: Tensor = NORM(x, weight, bias, mean, var, 0.0, eps)[0]
        return found
    step = (var + eps).rsqrt_()
    if weight is not None:
        step *= weight
    offset = -mean * step
    if bias is not None:
        offset += bias
    form = (-1, *(1 for _ in x.shape[2:]))
    return torch.addcmul(offset.view(form), x, step.view(form), out=out)


def scale_over(x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, var: Tensor, eps: float) -> Tensor:
    """As ``scale``, written over ``x`` where it has the result's type."""
    return scale(x, weight, bias, mean, var, eps, out=x)


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


_POINTWISE = ("relu", "hardtanh", "leaky_relu", "elu", "silu", "gelu", "sigmoid", "tanh", "hardswish")
_EITHER = (_aten.add.Tensor, _aten.mul.Tensor)  # the same whichever argument comes first
_OVER: dict[Any, Any] = {
    **{getattr(_aten, name).default: getattr(_aten, f"{name}_").default for name in _POINTWISE},
    **dict(zip(_EITHER, (add_over, mul_over))),
    scale: scale_over,
}
# Operations whose results are memory of their own; views and what may hand its argument back are not among them.
_NORMS = (NORM, _aten.native_layer_norm.default)
_OWN_MEMORY = ("conv1d", "conv2d", "conv3d", "convolution", "linear", "addmm", "layer_norm")
_FRESH = (*(getattr(_aten, name).default for name in _OWN_MEMORY), *_OVER, *_OVER.values())


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
    alike = isinstance(before, Tensor) and isinstance(after, Tensor) and before.dtype == after.dtype
    return alike and sizes(argument) == sizes(node)


def _fresh(node: fx.Node) -> bool:
    if node.target is operator.getitem:
        source = node.args[0]
        return isinstance(source, fx.Node) and source.target in _NORMS
    return node.target in _FRESH
