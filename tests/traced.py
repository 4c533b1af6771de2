"""Networks of one architecture are traced once a process, as ``Network.replaced`` does it.

Tracing takes longer than most of what tests ask of a network, and they make hundreds of a few architectures. A trace
that is used again is held against the module by all checks of the package, as a new one is: the export alone is left
out. Tests of tracing itself trace as ever.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.modules import module as torch_modules

if TYPE_CHECKING:
    from modelstitch.network.trace.trace import Trace

OWNERS = ("torch.nn.modules.", "modelstitch.zoo.nets.", "transformers.", "timm.", "torchvision.")
PLAIN = (int, float, str, bool, type(None))
LARGEST = 2_000_000  # parameters
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_OF_ALL = {*vars(nn.Module()), "training"}
_made: dict[Hashable, Trace] = {}
_traces: Any = None  # the package's own
_used_again = True


def known(module: nn.Module, form: Any, tensors: list[Any], output: str | int | None) -> Hashable | None:
    """What a trace follows from; None where that is more than classes, sizes and settings which can be read off."""
    if any(vars(torch_modules)[f"_global{hooks}"] for hooks in HOOKS):
        return None
    parts = list(module.modules())
    if not all(map(_is_known, parts)):
        return None
    weights = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    if sum(tensor.numel() for _, tensor in weights) > LARGEST or any(tensor.is_meta for _, tensor in weights):
        return None  # on the meta device nothing holds a trace against the module
    config = getattr(module, "config", None)
    seen: dict[int, int] = {}  # which weights are one tensor
    return (
        repr(module),
        tuple((type(part), _settings(part)) for part in parts),
        config.to_json_string(use_diff=False) if hasattr(config, "to_json_string") else repr(config),
        tuple((n, seen.setdefault(id(t), len(seen)), *_looks(t), t.requires_grad) for n, t in weights),
        (str(form.spec), form.paths, repr(form.constants), form.data, output),
        tuple(_looks(tensor) for tensor in tensors),
        (torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled()),
    )


def _is_known(part: nn.Module) -> bool:
    """Whether its class, or plain settings beside it, say what it computes, and nothing hooks into it."""
    kind = type(part)
    if "forward" in vars(part) or any(vars(part).get(hooks) for hooks in HOOKS) or "<locals>" in kind.__qualname__:
        return False
    return kind.__module__.startswith(OWNERS) or all(isinstance(value, PLAIN) for _, value in _settings(part))


def _settings(part: nn.Module) -> tuple[tuple[str, Any], ...]:
    """What was set on a module of a test's own class."""
    if type(part).__module__.startswith(OWNERS):
        return ()
    return tuple((name, value) for name, value in sorted(vars(part).items()) if name not in _OF_ALL)


def _looks(tensor: Any) -> tuple[Any, ...]:
    return type(tensor), tensor.shape, tensor.stride(), tensor.dtype, tensor.device, tensor.is_inference()


def trace(module: nn.Module, form: Any, tensors: list[Any], output: Any, name: str, hooks: Any = None) -> Trace:
    """As the package's own, with its arguments."""
    key = known(module, form, tensors, output) if _used_again and not hooks else None
    if key is None:
        return _traces(module, form, tensors, output, name, hooks)
    if key not in _made:
        _made[key] = made = _traces(module, form, tensors, output, name, hooks)
        return made
    own = {
        **dict(module.named_buffers(remove_duplicate=False)),
        **dict(module.named_parameters(remove_duplicate=False)),
    }
    weights = _made[key].weights.items()
    rebound = {node: w if w.kind == "constant" else replace(w, tensor=own[w.name]) for node, w in weights}
    return replace(_made[key], weights=rebound, form=form)


def begin() -> None:
    """Let networks of this process be traced so."""
    global _traces
    from modelstitch.network import network

    _traces, network.trace = network.trace, trace


@contextmanager
def used_again(whether: bool) -> Iterator[None]:
    """Let networks be traced so, or each by itself, meanwhile."""
    global _used_again
    before, _used_again = _used_again, whether
    try:
        yield
    finally:
        _used_again = before
