"""Freeze-training (the paper's B.4): layers of a trained network kept frozen, the rest trained anew."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ..controls import random_network_module
from ..errors import UnknownLayerError
from ..sources.data import Data
from .train import Progress, Recipe, train


def freeze_train(
    source: nn.Module,
    layers: Sequence[str],
    data: Data,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> nn.Module:
    """A network with the named submodules of ``source``, frozen, and all others re-initialised and trained.

    Frozen parts keep their BatchNorm statistics. ``source`` is not changed.

    Raises:
        UnknownLayerError: if ``source`` has no submodule of a name.
        NetworkError: if a part could not be re-initialised.
        FitError: if training diverges.
    """
    known = dict(source.named_modules())
    for name in layers:
        if not name or name not in known:
            raise UnknownLayerError(
                f"There is no layer {name!r} to freeze: expected names such as {', '.join(list(known)[1:6])}."
            )
    mixed, _ = random_network_module(source, seed)
    for name in layers:
        mixed.get_submodule(name).load_state_dict(known[name].state_dict())
    train(mixed, data, recipe, seed=seed, frozen=layers, device=device, progress=progress)
    return mixed
