"""The fully random control: the same architecture, every parameter drawn anew, and proved to be.

The paper's released code re-initialised direct children only, which leaves the blocks of a residual network trained.
Here every module is visited, and a parameter tensor that did not change is an error.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

from ..errors import MeasureError


def reinitialise(module: nn.Module, seed: int) -> nn.Module:
    """A deep copy in eval mode with every parameter re-initialised and BatchNorm statistics reset.

    Modules with ``reset_parameters`` are reset by it; parameters that no such method reached are drawn as a matrix
    with variance 1 / fan-in, or keep what a fresh start would give them if they are one-dimensional (0 or 1, or a
    small normal draw). The caller's random state is kept.

    Raises:
        MeasureError: naming the parameters that are still the trained ones.
    """
    twin = copy.deepcopy(module).eval()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), torch.no_grad():
        torch.manual_seed(seed)
        reached: set[int] = set()
        for part in twin.modules():
            reset = getattr(part, "reset_parameters", None) or getattr(part, "_reset_parameters", None)
            if callable(reset):
                before = {id(p) for p in part.parameters(recurse=False)}
                reset()
                reached |= before
        for name, parameter in twin.named_parameters():
            if id(parameter) not in reached:
                _draw(parameter, name)
    unchanged = still_trained(module, twin)
    if unchanged:
        raise MeasureError(
            f"The random control kept {len(unchanged)} trained parameters, the first is {unchanged[0]!r}: expected all "
            "of them to be re-initialised; give the module a reset_parameters() that reaches them."
        )
    return twin


def still_trained(trained: nn.Module, fresh: nn.Module) -> list[str]:
    """Names of parameters that are equal in both, those at the constant of a fresh start (all 0 or all 1) apart."""
    other = dict(fresh.named_parameters())
    return [
        name
        for name, parameter in trained.named_parameters()
        if torch.equal(parameter, other[name]) and not _constant(parameter)
    ]


def _constant(parameter: torch.Tensor) -> bool:
    return bool((parameter == 0).all()) or bool((parameter == 1).all())


def _draw(parameter: torch.Tensor, name: str) -> None:
    if not parameter.is_floating_point():
        return
    if parameter.ndim >= 2:
        parameter.normal_(0, 1 / math.sqrt(max(1, parameter[0].numel())))
    elif name.endswith("bias"):
        parameter.zero_()
    elif name.endswith(("weight", "gamma", "scale")):
        parameter.fill_(1.0)
    else:
        parameter.normal_(0, 0.02)
