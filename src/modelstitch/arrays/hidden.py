"""The MLP of an alignment: it starts from the affine solution, and takes steps on the rows themselves."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..stitchers.mlp import MLP
from .given import Vectors

BATCH, FEWEST_STEPS, MOST_STEPS, PASSES, LOOKS = 256, 1000, 4000, 40, 30
RATE, HELD_OUT, MOST_HELD_OUT = 3e-3, 0.1, 4096
FEWEST, UNITS = 20, 256  # pairs that are needed; hidden units at most, where their number is not given


def steps_for(rows: int) -> int:
    """How many steps an MLP of so many rows takes."""
    kept = rows - _held_out(rows)
    return min(MOST_STEPS, max(FEWEST_STEPS, PASSES * kept // min(BATCH, kept)))


def _held_out(rows: int) -> int:
    return min(MOST_HELD_OUT, max(1, round(HELD_OUT * rows)))


def improve(
    mlp: MLP,
    x: Vectors,
    y: Vectors,
    weights: Tensor | None,
    *,
    seed: int,
    stepped: Callable[[], None] | None = None,
) -> MLP:
    """Fit the hidden layer, and the affine part with it, to the mean squared error.

    A tenth of the rows, 4,096 at most, is held out; the state that is best there is kept, the affine start included.

    Args:
        mlp: as solved from the sums of these rows; changed in place.
        x, y: paired rows, ``FEWEST`` at least.
        weights: of the rows, shape (n,).
        seed: of the order of rows.
        stepped: is called after each step.

    Returns:
        The same module, at its best.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(x))
    held = _held_out(len(x))
    away, kept = np.sort(order[:held]), order[held:]
    spread = torch.as_tensor(_block(y, away).std(0)).mean().clamp(min=1e-12)
    size, steps = min(BATCH, len(kept)), steps_for(len(x))
    optimiser = torch.optim.Adam(mlp.parameters(), lr=RATE)
    plan = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps)))

    def loss(at: np.ndarray) -> Tensor:
        errors = ((mlp(_block(x, at)) - _block(y, at)) / spread).square().mean(1)
        w = torch.ones_like(errors) if weights is None else weights[at]
        found: Tensor = (errors * w).sum() / w.sum().clamp(min=1e-12)
        return found

    def look() -> float:
        with torch.no_grad():
            return float(loss(away))

    best, state, place = look(), _copied(mlp), len(kept)
    with torch.enable_grad():
        for step in range(1, steps + 1):
            if place + size > len(kept):
                place = 0
                generator.shuffle(kept)
            batch, place = np.sort(kept[place : place + size]), place + size
            optimiser.zero_grad()
            loss(batch).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            plan.step()
            if step % max(1, steps // LOOKS) == 0 and (found := look()) < best:
                best, state = found, _copied(mlp)
            if stepped is not None:
                stepped()
    mlp.load_state_dict(state)
    return mlp


def _block(side: Vectors, at: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(side.values[at if side.at is None else side.at[at]], dtype=np.float32))


def _copied(mlp: MLP) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in mlp.state_dict().items()}
