"""BatchNorm statistics estimated on data, for networks that were never trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from ..device import to_device


def calibrate(module: nn.Module, inputs: Iterable[Any]) -> None:
    """Set the running statistics of every BatchNorm layer of ``module`` to their mean over the batches, in place.

    Args:
        module: a network the caller owns (never a donor).
        inputs: batches as the module is called: tensors, tuples of positional or mappings of keyword inputs.
    """
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    training = module.training
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative mean
        norm.train()
    where = next(norms[0].buffers()).device
    with torch.no_grad():
        for given in inputs:
            batch = to_device(given, where)
            if isinstance(batch, dict):
                module(**batch)
            elif isinstance(batch, tuple):
                module(*batch)
            else:
                module(batch)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    module.train(training)
