"""What models cost to run: multiplications, parameters and the time of a batch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..report.front import Cost
from .exported import FileCall

K = TypeVar("K")
WARM_UP = 3  # runs before the clock counts


class Runnable(NamedTuple):
    """A model, and how it, and its file where it has one, are called on a batch of the size that is timed."""

    model: nn.Module
    call: Callable[[], Any]
    file: FileCall | None = None


def measure_costs(models: Mapping[K, Runnable], batch_size: int, rounds: int, device: torch.device) -> dict[K, Cost]:
    """Count and time models.

    In each round every model runs once, so that what else the machine does meanwhile meets all of them.

    Args:
        models: each with its call.
        batch_size: samples of a call.
        rounds: times that each is run.
        device: whose work is waited for.

    Returns:
        The cost of each.
    """
    seconds: dict[K, list[float]] = {key: [] for key in models}
    in_file: dict[K, list[float]] = {key: [] for key in models}
    counted: dict[K, float] = {}
    with torch.inference_mode():
        for key, (_, call, _) in models.items():
            with FlopCounterMode(display=False) as counter:
                call()
            counted[key] = counter.get_total_flops() / 2 / batch_size  # it counts a multiplication and its sum as two
        for turn in range(WARM_UP + rounds):
            for key, (_, call, file) in models.items():
                for spent, run in ((seconds[key], call), (in_file[key], file)):
                    if run is not None:
                        took = _timed(run, device)
                        spent += [took] if turn >= WARM_UP else []
    return {
        key: Cost(
            counted[key],
            parameters_of(one.model),
            1000 * statistics.median(seconds[key]),
            1000 * statistics.median(in_file[key]) if in_file[key] else None,
        )
        for key, one in models.items()
    }


def _timed(call: Callable[[], Any], device: torch.device) -> float:
    """Seconds of one call."""
    _wait(device)
    begun = time.perf_counter()
    call()
    _wait(device)
    return time.perf_counter() - begun


def parameters_of(model: nn.Module) -> int:
    """The learned numbers of a model, each once."""
    return sum(p.numel() for p in model.parameters())


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
