"""A batch of samples, and the random change of raw inputs that a fit may see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from .access import MASK, mask_of, some_of


class Augment(Protocol):
    """A random change of raw inputs (n, ...), drawn from the given generator; ``recipe`` says it in words."""

    recipe: str

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor: ...


@dataclass(frozen=True)
class Batch:
    """One batch, in sample order.

    Attributes:
        ids: int64 (n,), the position of each sample in its split.
        inputs: raw inputs, a tensor (n, ...) (images: float32 in [0, 1]), or a dict or a tuple of tensors; images of
            several sizes are a list of tensors (channels, height, width).
        labels: as the task reads them: int64 (n,) of classes, (n, t) of sequences, else (n, ...).
        mask_key: which of the inputs says where padded sequences hold tokens.
    """

    ids: Tensor
    inputs: Any
    labels: Tensor
    mask_key: str = MASK

    def __len__(self) -> int:
        return len(self.ids)

    def pieces(self, size: int) -> Iterator[Batch]:
        """Cut the batch, in order, into batches of at most ``size``; it stays whole where it is no larger."""
        if len(self) <= size:
            yield self
            return
        for start in range(0, len(self), size):
            some = slice(start, start + size)
            yield Batch(self.ids[some], some_of(self.inputs, some), self.labels[some], self.mask_key)

    @property
    def mask(self) -> Tensor | None:
        """bool (n, t): where padded sequences hold tokens; None if nothing is padded."""
        return mask_of(self.inputs, self.mask_key)
