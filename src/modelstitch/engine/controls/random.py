"""The fully random control: the same architecture, every parameter drawn anew, and proved to be.

The paper's released code re-initialised direct children only, which leaves the blocks of a residual network trained.
Here every module is visited, and a parameter tensor that did not change is an error. BatchNorm statistics are
estimated on data, also those of layers that hold them as plain buffers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.spectral_norm import SpectralNorm

from ...data.data import Data
from ...errors import MeasureError
from ...network import Network
from ...network.trace.twin import deep_copy
from ...support.device import to_device

CALIBRATION = 1024  # fit samples behind the BatchNorm statistics of a network that was drawn anew
_ROUNDS = 30  # of power iteration: enough for the norm of a random matrix


def drawn_anew(network: Network, data: Data, seed: int) -> Network:
    """Draw every parameter of a network anew, and estimate its BatchNorm statistics on the fit data."""
    module = reinitialise(network.module, seed)
    calibrate(module, (network.view(b.inputs) for b in data.few("fit", CALIBRATION)))
    return network.replaced(module, f"{network.name} (random, seed {seed})", weights=f"random, seed {seed}")


def reinitialise(module: nn.Module, seed: int) -> nn.Module:
    """A deep copy in eval mode with every parameter re-initialised and BatchNorm layers reset, frozen ones too.

    Of a module that was drawn from this very seed, and never trained, the next draw of the generator is taken.

    Modules with ``reset_parameters`` are reset by it; parameters that no such method reached are drawn as a matrix
    with variance 1 / fan-in, or keep what a fresh start would give them if they are one-dimensional (0 or 1, or a
    small normal draw). The caller's random state is kept.

    Raises:
        MeasureError: naming the parameters that are still the trained ones.
    """
    twin = deep_copy(module).eval()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), torch.no_grad():
        torch.manual_seed(seed)
        for _ in range(2):
            _draw_all(twin)
            if not (unchanged := still_trained(module, twin)):
                break
    if unchanged:
        raise MeasureError(
            f"The random control kept {len(unchanged)} trained parameters, the first is {unchanged[0]!r}: expected all "
            "of them to be re-initialised; give the module a reset_parameters() that reaches them."
        )
    return twin


def _draw_all(module: nn.Module) -> None:
    reached: set[int] = set()
    for part in module.modules():
        reset = getattr(part, "reset_parameters", None) or getattr(part, "_reset_parameters", None)
        if callable(reset):
            reached |= _reset(part, reset)
    for name, parameter in module.named_parameters():
        if id(parameter) not in reached:
            _draw(parameter, name)
    for norm in frozen_norms(module).values():
        reset_norm(norm)
    _settle_spectral_norms(module)


def still_trained(trained: nn.Module, fresh: nn.Module) -> list[str]:
    """Names of parameters that are equal in both, those at the constant of a fresh start (all 0 or all 1) apart.

    What a frozen BatchNorm holds as buffers counts.
    """
    other = _held(fresh)
    return [
        name
        for name, parameter in _held(trained).items()
        if torch.equal(parameter, other[name]) and not _constant(parameter)
    ]


def _held(module: nn.Module) -> dict[str, Tensor]:
    """Everything by name that training left its trace in."""
    norms = frozen_norms(module).items()
    frozen = {f"{name}.{key}".lstrip("."): norm.get_buffer(key) for name, norm in norms for key in FRESH}
    return {**dict(module.named_parameters()), **frozen}


def _reset(part: nn.Module, reset: Callable[[], Any]) -> set[int]:
    """Reset one part; return the ids of the parameters reached.

    Where a weight is computed from others (pruned, weight_norm), its reset writes into what the next forward computes
    anew: only those that did change were reached.
    """
    computed = any(isinstance(value, Tensor) for value in vars(part).values())
    before = [(p, p.clone() if computed else None) for p in part.parameters(recurse=False)]
    reset()
    return {id(p) for p, old in before if old is None or not torch.equal(p, old)}


def _settle_spectral_norms(module: nn.Module) -> None:
    """Estimate the norms of the new weights: the estimate belongs to the old ones, and eval mode does not renew it."""
    for part in module.modules():
        for hook in part._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm):
                for _ in range(_ROUNDS):
                    hook.compute_weight(part, do_power_iteration=True)
        if isinstance(part, parametrize.ParametrizationList) and any(isinstance(p, _SpectralNorm) for p in part):
            part.train()
            for _ in range(_ROUNDS):
                part()
            part.eval()


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


def calibrate(module: nn.Module, inputs: Iterable[Any]) -> None:
    """Set the running statistics of every BatchNorm layer, frozen ones too, to their mean over the batches, in place.

    Args:
        module: a network the caller owns (never a donor).
        inputs: batches as the module is called: tensors, tuples of positional or mappings of keyword inputs.
    """
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    frozen = frozen_norms(module)
    if not norms and not frozen:
        return
    momenta = [norm.momentum for norm in norms]
    training = module.training
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative mean
        norm.train()
    estimates = [BatchStatistics(norm) for norm in frozen.values()]
    where = next([*norms, *frozen.values()][0].buffers()).device
    with torch.no_grad():
        for given in inputs:
            batch = to_device(given, where)
            if isinstance(batch, dict):
                module(**batch)
            elif isinstance(batch, tuple):
                module(*batch)
            else:
                module(batch)
    for estimate in estimates:
        estimate.close()
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    module.train(training)


FRESH = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}


def frozen_norms(module: nn.Module) -> dict[str, nn.Module]:
    """{name: layer} of all layers whose own buffers are a BatchNorm's weight, bias and statistics, (channels,) each."""
    found = {}
    for name, part in module.named_modules():
        own = [part._buffers.get(key) for key in FRESH]
        if all(b is not None and b.ndim == 1 and b.is_floating_point() for b in own):
            found[name] = part
    return found


def reset_norm(norm: nn.Module) -> None:
    """Put the numbers of a fresh start into one such layer, in place."""
    for key, value in FRESH.items():
        norm.get_buffer(key).fill_(value)


class BatchStatistics:
    """Statistics of one such layer over several batches, until it is closed; a batch is normalised with its own.

    They are the means over the batches, as a BatchNorm without a momentum has them in training mode.
    """

    def __init__(self, norm: nn.Module) -> None:
        self._mean, self._var = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
        self._seen: list[tuple[Tensor, Tensor]] = []
        self._handle = norm.register_forward_pre_hook(self._look)

    def _look(self, norm: nn.Module, args: tuple[Any, ...]) -> None:
        x = args[0] if args else None
        if not isinstance(x, Tensor) or x.ndim < 2 or x.shape[1] != len(self._mean) or x.numel() == x.shape[1]:
            return  # no channels in the second place, or no statistics to take
        others = [d for d in range(x.ndim) if d != 1]
        mean, var = x.mean(others), x.var(others)
        self._seen.append((mean, var))
        self._mean.copy_(mean)
        self._var.copy_(x.var(others, correction=0))

    def close(self) -> None:
        """Leave the layer with the statistics, if there are any."""
        self._handle.remove()
        if self._seen:
            means, variances = zip(*self._seen)
            self._mean.copy_(torch.stack(means).mean(0))
            self._var.copy_(torch.stack(variances).mean(0))
