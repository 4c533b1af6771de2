"""BatchNorm statistics estimated on data, for networks that were never trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ...support.device import to_device


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


def reset(norm: nn.Module) -> None:
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
