"""The module inside what other tools wrap around it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ...errors import NetworkError

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
