"""Copies of a module: one for tracing, that shares every tensor with it, and one with tensors of its own."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ...errors import TraceError, first_line
from .hooks import Key, rebind_hooks, share_hooks

_DROPOUTS = {
    kind.forward
    for kind in (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
}


class NoDropout(nn.Identity):
    """Stands for a dropout module: does nothing, and still answers those who read its rate."""

    p = 0.0
    inplace = False

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind


class Scripted(nn.Module):
    """Stands for a part that TorchScript compiled: one layer, which runs a copy of it in eval mode."""

    def __init__(self, part: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.kind = part.original_name
        # As a plain attribute it would be a part of this one, and the tracer would go into it.
        vars(self)["part"], vars(self)["copy"] = part, copy.deepcopy(part).eval()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return vars(self)["copy"]._c._get_method("forward")(*args, **kwargs)

    def weights(self) -> dict[int, tuple[str, Tensor, str]]:
        """The owner's name, tensor and kind of every weight, by where the copy's lies in memory."""
        part, twin = vars(self)["part"], vars(self)["copy"]
        own = {**dict(part.named_parameters()), **dict(part.named_buffers())}
        kinds = {**dict.fromkeys(dict(part.named_parameters()), "parameter")}
        copied = (*twin.named_parameters(), *twin.named_buffers())
        return {t.data_ptr(): (name, own[name], kinds.get(name, "buffer")) for name, t in copied}


def make_twin(module: nn.Module, *, frozen: bool = False, hooks: set[Key] | None = None) -> nn.Module:
    """A copy that shares every tensor, in eval mode, with dropout taken out and caches switched off.

    Args:
        frozen: its parameters are others, of the same memory, that want no gradients.

        hooks: those that it has; all of them where nothing is said.

    Raises:
        TraceError: if the module cannot be copied.
    """
    shared: dict[int, Any] = {id(t): t for t in _tensors(module)}
    if frozen:
        shared |= {id(p): _frozen(p) for p in module.parameters()}
    try:
        _keep_scripted(module, shared)
        share_hooks(module, shared)
        twin = copy.deepcopy(module, shared)
    except Exception as error:  # whatever the module's own __deepcopy__ or __reduce__ raises
        raise TraceError(
            f"The network cannot be copied for tracing ({type(error).__name__}: {first_line(error)}): expected a "
            "module that copy.deepcopy accepts; remove open files, locks or generators stored on it."
        ) from error
    rebind_hooks(twin, shared, hooks)
    twin.eval()
    for parent in list(twin.modules()):
        config: Any = getattr(parent, "config", None)
        if getattr(config, "use_cache", None):
            config.use_cache = False  # a cache object among the outputs breaks the trace; the numbers are the same
        for name, child in parent._modules.items():
            if child is not None and _is_dropout(child):
                setattr(parent, name, NoDropout(type(child).__name__))
    return twin


def deep_copy(module: nn.Module) -> nn.Module:
    """A copy with tensors of its own; what is computed rather than a leaf is copied detached.

    ``copy.deepcopy`` refuses such tensors: a kept activation, the weight of a pruned or weight-normalised layer.
    """
    kept = [t for t in _tensors(module) if not t.is_leaf]
    return copy.deepcopy(module, {id(t): t.detach().clone() for t in kept})


def _keep_scripted(module: nn.Module, shared: dict[int, Any]) -> None:
    """Let what TorchScript compiled be copied in its own way: parts as one layer each, functions not at all."""
    parts = list(module.children())
    for value in vars(module).values():
        if isinstance(value, torch.jit.ScriptFunction):
            shared[id(value)] = value
    for part in parts:
        if isinstance(part, torch.jit.ScriptModule):
            if id(part) not in shared:
                shared[id(part)] = Scripted(part)
        else:
            _keep_scripted(part, shared)


def _frozen(parameter: nn.Parameter) -> nn.Parameter:
    plain = type(parameter) is nn.Parameter and not parameter.is_inference()
    return nn.Parameter(parameter.detach(), requires_grad=False) if plain else parameter


def _tensors(module: nn.Module) -> list[Tensor]:
    """Parameters, buffers, and tensors kept as plain attributes (which need not be leaves: old weight_norm)."""
    plain = [t for part in module.modules() for value in vars(part).values() for t in _within(value)]
    return [*module.parameters(), *module.buffers(), *plain]


def _within(value: Any) -> list[Tensor]:
    """The tensors of an attribute.

    Itself, or what lists, tuples and dicts hold (not parts, whose attributes are seen).
    """
    return [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]


def _is_dropout(module: nn.Module) -> bool:
    """Whether it is torch's own dropout and nothing more.

    One that a user changed, or hooked, may do something in eval mode.
    """
    kept = module._forward_hooks or module._forward_pre_hooks or vars(module).get("forward") or module._modules
    return not kept and type(module).forward in _DROPOUTS


def kind_of(module: nn.Module) -> str:
    """The class name of a twin's module, as the caller knows it."""
    return module.kind if isinstance(module, NoDropout | Scripted) else type(module).__name__
