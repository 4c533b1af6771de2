"""What a network is, as hashes: of its weights, and of what its trace computes with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn

from ...support import hashing
from ...support.ambient import found
from .trace import Trace

_KEY = "fingerprints"  # under which a call remembers them


def graph_digest(trace: Trace) -> str:
    """Hash what a trace computes: hex, 16 digits.

    Hashed are its operations, their constants, the output that is compared and the input that carries the sample.
    Weights count with their names alone, devices not at all: a network on a GPU is the same network.
    """
    at = {node: number for number, node in enumerate(trace.graph.nodes)}
    inputs = {node: number for number, node in enumerate(trace.inputs)}
    lines: list[Any] = []
    for node in trace.graph.nodes:
        if node in inputs:
            lines.append(("input", inputs[node]))
        elif node in trace.weights:
            weight = trace.weights[node]
            lines.append((weight.kind, _bytes(weight.tensor) if weight.kind == "constant" else weight.name))
        elif node.op == "get_attr":
            lines.append(("inner", _inner(trace.submodules[str(node.target)])))
        else:
            lines.append(_operation(node, at))
    lines.append(("output", at[trace.output]))
    if trace.form.data_position:  # of another input than the first the cuts are others
        lines.append(("data", trace.form.data_position))
    return hashing.of(repr(lines), digits=16)


def _operation(node: fx.Node, at: Mapping[fx.Node, int]) -> tuple[Any, ...]:
    target = node.target
    if isinstance(target, str):
        name = target
    else:  # a function's own text holds its address
        text = str(target) if isinstance(target, torch._ops.OperatorBase) else _qualified(target)
        name = f"{getattr(target, '__module__', '')}.{text}"
    return (node.op, name, _argument(node.args, at), _argument(node.kwargs, at))


def _qualified(function: Any) -> str:
    return getattr(function, "__qualname__", type(function).__name__)


def _argument(value: Any, at: Mapping[fx.Node, int]) -> Any:
    if isinstance(value, fx.Node):
        return f"%{at[value]}"
    if isinstance(value, torch.device):
        return "device"
    if isinstance(value, Mapping):
        return [(key, _argument(value[key], at)) for key in sorted(value)]
    if isinstance(value, slice):
        return ("slice", *(_argument(v, at) for v in (value.start, value.stop, value.step)))
    if isinstance(value, Iterable) and not isinstance(value, str | Tensor):
        return [_argument(part, at) for part in value]
    if isinstance(value, Tensor):
        return _bytes(value)
    return repr(value) if isinstance(value, str) else str(value)


def _inner(module: nn.Module) -> list[Any]:
    """A graph inside the graph, such as the body of a loop or of a context."""
    if not isinstance(module, fx.GraphModule):
        return [type(module).__name__, *(_bytes(t) for _, t in sorted(module.state_dict().items()))]
    at = {node: number for number, node in enumerate(module.graph.nodes)}
    return [
        _inner(module.get_submodule(str(node.target)))
        if node.op == "get_attr" and isinstance(getattr(module, str(node.target), None), nn.Module)
        else ("placeholder" if node.op == "placeholder" else _operation(node, at))
        for node in module.graph.nodes
    ]


def _bytes(tensor: Tensor) -> tuple[Any, ...]:
    if tensor.device.type == "meta":
        return (tuple(tensor.shape), str(tensor.dtype))
    return (tuple(tensor.shape), str(tensor.dtype), hashing.of(tensor))


def fingerprint(module: nn.Module) -> str:
    """Hash over a module's parameters and buffers, in order of name: hex, 16 digits.

    Hashing a billion numbers takes seconds. While a public call runs its networks are frozen, so it hashes a module
    once, and again where torch counted a write or another tensor stands there; ``forget`` makes it hash anew.
    """
    tensors: list[tuple[str, Tensor]] = sorted(
        [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)],
        key=lambda item: item[0],
    )
    held, state = found(), _state(tensors)
    known = WeakKeyDictionary[nn.Module, Any]() if held is None else held.setdefault(_KEY, WeakKeyDictionary())
    if module not in known or state is None or known[module][0] != state:
        known[module] = state, _hashed(tensors), tensors  # held, so that no later tensor takes the place of one of them
    digest: str = known[module][1]
    return digest


def forget() -> None:
    """Let the next hash of every module be of what its memory holds then, whatever was written there, and how."""
    (found() or {}).pop(_KEY, None)


def _hashed(tensors: Sequence[tuple[str, Tensor]]) -> str:
    digest = hashing.Hash()
    for name, tensor in tensors:
        digest.add(f"{name}{tuple(tensor.shape)}{tensor.dtype}")
        if tensor.device.type != "meta":
            digest.add(tensor)
    return digest.hex(16)


def _state(tensors: Sequence[tuple[str, Tensor]]) -> list[Any] | None:
    """Where tensors lie, and how often torch wrote into them; None where it does not count."""
    if any(tensor.is_inference() for _, tensor in tensors):
        return None
    return [(name, id(t), t.data_ptr(), t._version, t.shape, t.stride(), t.dtype) for name, t in tensors]


def origin_of(module: nn.Module, weights: str | None) -> tuple[str, str] | None:
    """Where weights come from, and the hash that they had then."""
    return None if weights is None else (weights, fingerprint(module))
