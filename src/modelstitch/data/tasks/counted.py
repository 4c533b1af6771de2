"""Numbers of a whole split that are no mean over samples, and the same of samples that are drawn again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

Number = tuple[float, str]  # with its unit
Drawn = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


class Counted(Protocol):
    """What is collected over a whole split."""

    def add(self, output: Tensor, labels: Tensor) -> None:
        """Count a batch."""
        ...

    def numbers(self) -> Mapping[str, Number]:
        """What it gives, by name."""
        ...

    def level(self) -> float | None:
        """The error of the best answer that is the same for all samples; None where it does not tell."""
        ...


class Resampled(ABC):
    """Counts of a split that can be counted again with other weights of its samples: its numbers have intervals.

    A number is better, the larger it is.

    Attributes:
        units: of the numbers, by name.
    """

    units: Mapping[str, str]

    @abstractmethod
    def add(self, output: Tensor, labels: Tensor) -> None:
        """Count a batch."""

    @abstractmethod
    def level(self) -> float | None:
        """The error of the best answer that is the same for all samples; None where it does not tell."""

    @abstractmethod
    def drawn(self, counts: Drawn) -> dict[str, Drawn]:
        """Give the numbers of samples drawn again.

        Args:
            counts: how often each sample is there, (draws, n), in the order in which they were added.

        Returns:
            A value for each draw, by name, (draws,); NaN where it is not defined.
        """

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """How many samples there are, and how many numbers a draw reads of each."""

    def numbers(self) -> Mapping[str, Number]:
        """What the whole split gives, by name; what is not defined is left out."""
        n = self.size[0]
        found = self.drawn(np.ones((1, n))) if n else {}
        return {name: (float(value[0]), self.units[name]) for name, value in found.items() if np.isfinite(value[0])}


class ByBatch(Resampled):
    """Counts that are nothing but numbers of each sample, batch by batch.

    Attributes:
        parts: of each batch, (n, ...) each.
    """

    def __init__(self) -> None:
        self.parts: list[tuple[Tensor, ...]] = []

    def state(self) -> list[Tensor]:
        """What was counted so far."""
        return [torch.cat(column) for column in zip(*self.parts)]

    def take_up(self, state: list[Tensor]) -> None:
        """Go on from what ``state`` gave."""
        self.parts = [tuple(state)] if state else []


def stacked(parts: list[Tensor]) -> Drawn:
    """Batches of numbers of samples, (n, ...) each, as one float64 array."""
    return np.concatenate([part.detach().cpu().double().numpy() for part in parts])
