"""BatchNorm statistics estimated on data, for networks that were never trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from ...support.device import to_device
from .frozen import BatchStatistics, frozen_norms


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
