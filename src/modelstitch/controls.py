"""Controls made from a network: the random one, re-initialised part by part and proved to be so."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .errors import NetworkError


@dataclass(frozen=True)
class Reinitialised:
    """What re-initialisation did to each parameter tensor, by name.

    Attributes:
        changed: hold other values now.
        constant: start as one constant (such as a norm's weight, 1) and were at it already.
        drawn: belong to modules that cannot reset them; drawn here, normal with variance 1 / fan-in, vectors
            set to 1 (to 0 if called a bias). These are also in ``changed``.
    """

    changed: tuple[str, ...]
    constant: tuple[str, ...]
    drawn: tuple[str, ...]


def random_network_module(module: nn.Module, seed: int) -> tuple[nn.Module, Reinitialised]:
    """A copy of ``module`` with every parameter re-initialised, recursively; running statistics are reset.

    The module, its flags and the global generator stay as they are. Submodules are reset by their own
    ``reset_parameters``; what that leaves as it was, is drawn here (see ``Reinitialised.drawn``).

    Raises:
        NetworkError: if a parameter tensor still holds its trained values.
    """
    fresh = copy.deepcopy(module)
    trained = dict(module.named_parameters())
    with torch.random.fork_rng(devices=_cuda_devices(module)):
        torch.manual_seed(seed)
        for part in fresh.modules():
            for method in ("reset_parameters", "_reset_parameters", "reset_running_stats"):
                reset = getattr(part, method, None)
                if callable(reset):
                    reset()
        drawn = []
        for name, parameter in fresh.named_parameters():
            if _equal(parameter, trained[name]) and not _single_valued(parameter):
                _draw(name, parameter)
                drawn.append(name)
    return fresh, check_reinitialised(module, fresh, drawn=tuple(drawn))


def check_reinitialised(
    trained: nn.Module, fresh: nn.Module, *, drawn: tuple[str, ...] = ()
) -> Reinitialised:
    """Prove that no parameter tensor of ``fresh`` holds the values of ``trained``.

    A tensor may stay the same only if all its values are one constant, as at its initialisation.

    Raises:
        NetworkError: if more than half of a tensor with more than one value is unchanged.
    """
    before, after = dict(trained.named_parameters()), dict(fresh.named_parameters())
    if list(before) != list(after):
        raise NetworkError(
            "The re-initialised network has other parameters than the trained one: expected the same names."
        )
    kept = [name for name in before if _kept(before[name], after[name])]
    if kept:
        raise NetworkError(
            f"{len(kept)} of {len(before)} parameter tensors kept trained values on re-initialisation, "
            f"the first is {kept[0]!r}: expected all to change; give its module a reset_parameters method."
        )
    same = tuple(name for name in before if _equal(before[name], after[name]))
    return Reinitialised(tuple(name for name in before if name not in same), same, drawn)


def _kept(before: Tensor, after: Tensor) -> bool:
    """Whether more than half of a varied tensor is what it was."""
    if _single_valued(before) or _single_valued(after):
        return False
    return bool((before == after).float().mean() > 0.5)


def _equal(one: Tensor, other: Tensor) -> bool:
    return bool(torch.equal(one.detach(), other.detach()))


def _single_valued(value: Tensor) -> bool:
    return value.numel() == 0 or bool((value == value.flatten()[0]).all())


def _draw(name: str, parameter: Tensor) -> None:
    with torch.no_grad():
        if parameter.ndim >= 2:
            parameter.normal_(0, 1 / math.sqrt(parameter[0].numel()))
        else:
            parameter.fill_(0.0 if name.rpartition(".")[2] in ("bias", "beta", "b") else 1.0)


def _cuda_devices(module: nn.Module) -> list[int]:
    return sorted({p.device.index or 0 for p in module.parameters() if p.device.type == "cuda"})
