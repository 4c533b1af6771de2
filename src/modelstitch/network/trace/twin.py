"""The module inside what other tools wrap around it, and its copies.

One for tracing, that shares every tensor with it, and one with tensors of its own.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils import _pytree as pytree

from ...errors import NetworkError, TraceError, first_line
from .owner import Key, rebind_hooks, share_hooks

_DROPOUTS = {
    kind.forward
    for kind in (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
}


_PARALLEL = ("DataParallel", "DistributedDataParallel", "FullyShardedDataParallel")


def unwrapped(module: Any) -> nn.Module:
    """The module itself; of a compiled one the original, which computes the same under its own layer names.

    Raises:
        NetworkError: if it is no module, has lazy parts that never ran, is wrapped for several devices, or compiled by
            TorchScript, which cannot be traced.
    """
    if not isinstance(module, nn.Module):
        given = f"the class {module.__name__}" if isinstance(module, type) else f"a {type(module).__name__}"
        raise NetworkError(
            f"The network is no module: expected an nn.Module, found {given}; make one of a class, wrap a function in "
            "a module whose forward calls it, and of an exported program pass the module from before torch.export."
        )
    while isinstance(module, torch._dynamo.OptimizedModule):
        module = module._orig_mod
    found: nn.Module = module
    kind = type(module).__name__
    if kind in _PARALLEL:
        raise NetworkError(f"The network is wrapped in {kind}: expected the module inside it; pass model.module.")
    if isinstance(module, torch.jit.ScriptModule):
        raise NetworkError(
            f"The network is a module of TorchScript ({kind}): expected an ordinary module; pass the original module, "
            "from before torch.jit.script or torch.jit.trace."
        )
    lazy = [name for name, tensor in (*found.named_parameters(), *found.named_buffers()) if is_lazy(tensor)]
    if lazy:
        raise NetworkError(
            f"The network has weights that are not made yet ({lazy[0]}): expected a trained module; run it once, "
            "module(example), or load its weights."
        )
    return found


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
        own = {name: (name, tensor, "buffer") for name, tensor in part.named_buffers()}
        own |= {name: (name, tensor, "parameter") for name, tensor in part.named_parameters()}
        return {t.data_ptr(): own[name] for name, t in (*twin.named_parameters(), *twin.named_buffers())}


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
    shared |= {id(value): value for value in vars(module).values() if isinstance(value, torch.jit.ScriptFunction)}
    for part in module.children():
        if not isinstance(part, torch.jit.ScriptModule):
            _keep_scripted(part, shared)
        elif id(part) not in shared:
            shared[id(part)] = Scripted(part)


def _frozen(parameter: nn.Parameter) -> nn.Parameter:
    plain = type(parameter) is nn.Parameter and not parameter.is_inference()
    return nn.Parameter(parameter.detach(), requires_grad=False) if plain else parameter


def _tensors(module: nn.Module) -> list[Tensor]:
    """Parameters, buffers, and tensors kept as plain attributes (which need not be leaves: old weight_norm)."""
    # what lists, tuples and dicts hold, too; not parts, whose attributes are seen
    plain = [leaf for part in module.modules() for leaf in pytree.tree_leaves(list(vars(part).values()))]
    return [*module.parameters(), *module.buffers(), *(leaf for leaf in plain if isinstance(leaf, Tensor))]


def _is_dropout(module: nn.Module) -> bool:
    """Whether it is torch's own dropout and nothing more.

    One that a user changed, or hooked, may do something in eval mode.
    """
    kept = module._forward_hooks or module._forward_pre_hooks or vars(module).get("forward") or module._modules
    return not kept and type(module).forward in _DROPOUTS


def kind_of(module: nn.Module) -> str:
    """The class name of a twin's module, as the caller knows it."""
    return module.kind if isinstance(module, NoDropout | Scripted) else type(module).__name__
