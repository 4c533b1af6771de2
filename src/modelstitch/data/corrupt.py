"""The same test samples, damaged on purpose: a second test set that asks whether a stitch is as robust as its top."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..errors import DataError
from .data import Data
from .load import load_data
from .pairs import pair_of

KINDS: dict[str, Callable[[Tensor, float, torch.Generator], Tensor]] = {
    "noise": lambda x, level, draw: x + level * torch.randn(x.shape, generator=draw).to(x.device),
    "contrast": lambda x, level, draw: x.mean() + (1 - level) * (x - x.mean()),
    "brightness": lambda x, level, draw: x + level,
}


def corrupted(data: Data, kind: str = "noise", level: float = 0.2, *, seed: int = 0) -> Data:
    """The same data with damaged test inputs; images stay in [0, 1].

    Args:
        kind: "noise" (normal, ``level`` its standard deviation), "contrast" (the share that is taken away), or
            "brightness" (added).
        level: how much, for inputs in [0, 1].
        seed: of the noise; each sample has noise of its own, the same in every pass.

    Raises:
        DataError: if the kind is unknown, the level is not above 0, or samples are no floating-point or uint8 tensors.
    """
    if kind not in KINDS or not level > 0:
        raise DataError(f"The corruption {kind}:{level} is unknown: expected {', '.join(KINDS)} with a level above 0.")
    return Data(
        data.dataset("fit"),
        data.dataset("val"),
        _Damaged(data.dataset("test"), kind, level, seed),
        name=f"{data.name} ({kind} {level:g})",
        n_classes=data.n_classes if data.task.has_classes else None,
        task=data.task,
        fingerprint=f"{data.fingerprint}/{kind}:{level:g}:{seed}",
        test_fingerprint=f"{data.test_fingerprint}/{kind}:{level:g}:{seed}",
        split_rule=data.split_rule,
        notes=data.notes,
    )


def second_data(spec: str, data: Data, *, tokenizer: str | None = None) -> Data:
    """A second test set by name.

    A corruption of the data's own ("noise:0.3"; its usual level where none is named), or other data.

    Raises:
        DataError: if the level cannot be read, or as ``modelstitch.load_data``.
    """
    kind, _, level = spec.partition(":")
    if kind not in KINDS:
        return load_data(spec, tokenizer=tokenizer).of_task(data.task)
    if not level:
        return corrupted(data, kind)
    try:
        return corrupted(data, kind, float(level))
    except ValueError:
        raise DataError(
            f"The corruption {spec!r} cannot be read: expected a level after the colon, such as {kind}:0.2."
        ) from None


class _Damaged:
    """A map-style dataset whose inputs are damaged when they are read."""

    def __init__(self, dataset: Any, kind: str, level: float, seed: int) -> None:
        self._dataset, self._kind, self._level, self._seed = dataset, kind, level, seed

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, at: int) -> tuple[Tensor, Any]:
        value, label = pair_of(self._dataset[at])
        x = torch.as_tensor(value)
        if x.dtype == torch.uint8:
            x = x.float() / 255
        if not x.is_floating_point():
            raise DataError(f"Samples of type {x.dtype} cannot be damaged: expected images, floating-point or uint8.")
        draw = torch.Generator().manual_seed(self._seed * 1_000_003 + int(at))
        damaged = KINDS[self._kind](x, self._level, draw)
        inside = bool((x >= 0).all() and (x <= 1).all())
        return (damaged.clamp(0, 1) if inside else damaged), label
