"""Freeze-training (the paper's B.4): layers of a trained network kept frozen, the rest trained anew."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ..data.data import Data
from ..errors import FitError, UnknownLayerError
from ..support.resume import Unfinished
from .donors import Donor
from .nets import build
from .train import Progress, Recipe, train


def freeze_train(
    donor: Donor,
    layers: Sequence[str],
    data: Data,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    unfinished: Unfinished | None = None,
) -> nn.Module:
    """A network with the named submodules of ``donor``, frozen, and all others initialised anew and trained.

    Frozen parts keep their BatchNorm statistics. The donor is not changed. ``unfinished`` as for ``train``.

    Raises:
        UnknownLayerError: if the donor has no submodule of a name.
        FitError: if a part starts with the donor's own weights (the same seed), or training diverges.
    """
    known = dict(donor.module.named_modules())
    for name in layers:
        if not name or name not in known:
            raise UnknownLayerError(
                f"There is no layer {name!r} to freeze: expected names like {', '.join(list(known)[1:6])}."
            )
    mixed = build(str(donor.card["net"]), seed=2 * seed)
    same = _still_trained(donor.module, mixed)
    if same:
        raise FitError(
            f"{len(same)} parameter tensors start with the donor's values, the first is {same[0]!r}: "
            "expected all but the frozen layers to start anew; use another seed."
        )
    for name in layers:
        mixed.get_submodule(name).load_state_dict(known[name].state_dict())
    train(
        mixed, data, recipe, seed=2 * seed + 1, frozen=layers, device=device, progress=progress, unfinished=unfinished
    )
    return mixed


def _still_trained(trained: nn.Module, fresh: nn.Module) -> list[str]:
    """Names of the tensors with more than one value that are equal in both."""
    other = dict(fresh.named_parameters())
    return [
        name
        for name, value in trained.named_parameters()
        if torch.equal(value.cpu(), other[name]) and bool((value != value.flatten()[0]).any())
    ]
