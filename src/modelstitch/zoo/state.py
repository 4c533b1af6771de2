"""The state of a training as plain values and tensors, and back: a stopped run goes on from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..support.resume import Unfinished


@dataclass
class Trained:
    """What training leaves: the weights at each asked checkpoint, and the last loss."""

    checkpoints: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    loss: float = math.nan


def state_of(
    step: int,
    modules: Sequence[nn.Module],
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator | None,
    trained: Trained,
) -> dict[str, Any]:
    """What so many steps have left."""
    return {
        "step": step,
        "modules": [module.state_dict() for module in modules],
        "optimiser": optimiser.state_dict(),
        "generator": None if generator is None else generator.get_state(),
        "checkpoints": trained.checkpoints,
        "loss": trained.loss,
    }


def take_up(
    unfinished: Unfinished | None,
    modules: Sequence[nn.Module],
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator | None,
    trained: Trained,
) -> int:
    """Put a stopped run's state in place; the number of steps that it has done."""
    state = None if unfinished is None else unfinished.read()
    if state is None:
        return 0
    for module, values in zip(modules, state["modules"]):
        module.load_state_dict(values)
    optimiser.load_state_dict(state["optimiser"])
    if generator is not None:
        generator.set_state(state["generator"])
    trained.checkpoints, trained.loss = state["checkpoints"], state["loss"]
    done: int = state["step"]
    return done
