"""Copies of a module: one for tracing, that shares every tensor with it, and one with tensors of its own."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..errors import TraceError, first_line

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


def make_twin(module: nn.Module) -> nn.Module:
    """A copy that shares every tensor, in eval mode, with dropout taken out and caches switched off.

    Raises:
        TraceError: if the module cannot be copied.
    """
    try:
        twin = copy.deepcopy(module, {id(t): t for t in _tensors(module)})
    except Exception as error:  # whatever the module's own __deepcopy__ or __reduce__ raises
        raise TraceError(
            f"The network cannot be copied for tracing ({type(error).__name__}: {first_line(error)}): expected a "
            "module that copy.deepcopy accepts; remove open files, locks or generators stored on it."
        ) from error
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


def _tensors(module: nn.Module) -> list[Tensor]:
    """Parameters, buffers, and tensors kept as plain attributes (which need not be leaves: old weight_norm)."""
    plain = [t for part in module.modules() for value in vars(part).values() for t in _within(value)]
    return [*module.parameters(), *module.buffers(), *plain]


def _within(value: Any) -> list[Tensor]:
    """The tensors of an attribute: itself, or what lists, tuples and dicts hold (not parts, whose attributes are seen)."""
    return [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]


def _is_dropout(module: nn.Module) -> bool:
    """Whether it is torch's own dropout and nothing more; one that a user changed, or hooked, may do something in eval mode."""
    kept = module._forward_hooks or module._forward_pre_hooks or vars(module).get("forward") or module._modules
    return not kept and type(module).forward in _DROPOUTS


def kind_of(module: nn.Module) -> str:
    """The class name of a twin's module, as the caller knows it."""
    return module.kind if isinstance(module, NoDropout) else type(module).__name__
