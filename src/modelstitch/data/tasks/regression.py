"""Numbers: the error of a sample is the squared difference, the mean over its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from ...errors import DataError
from ..labels import finite
from .task import ByBatch, Drawn, Number, Task, stacked


class Regression(Task):
    """Outputs of the labels' shape, (n,), (n, 1) or (n, numbers), against numbers."""

    leveled = True
    built_in = True

    def __init__(self) -> None:
        super().__init__(
            "regression", squared, unit="MSE", says="the squared difference to the label, the mean over its numbers"
        )

    def take(self, labels: Tensor, where: str, *, n_classes: int | None = None, whole: bool = True) -> Tensor:
        if labels.dtype == torch.bool or labels.is_complex():
            raise DataError(f"The labels of {where} are of type {labels.dtype}: expected numbers for regression.")
        return finite(labels.float(), where)

    def check_fit(self, labels: Tensor, where: str) -> None:
        split = where.removeprefix("the fit split of ")
        _vary(labels, f"fit labels of {split}", "nothing is there to predict; leave out what is constant")

    def check_test(self, labels: Tensor, where: str) -> None:
        _vary(labels, f"labels of {where}", "no variance is there to explain; measure on other samples")

    def fits(self, name: str, shape: tuple[int, ...], labels: Tensor) -> None:
        each = tuple(labels.shape[1:])
        if shape not in (each, (*each, 1)) and not (shape == () and each == (1,)):
            wanted = f"(n, {', '.join(map(str, each))})" if each else "(n,) or (n, 1)"
            raise DataError(
                f"The top {name!r} gives values of shape {shape} for a sample with labels of shape {each}: expected "
                f"one value for each number of the label, {wanted}; choose the output with output=, or another head."
            )

    def check(self, output: Tensor, labels: Tensor) -> None:
        if output.numel() != labels.numel():
            self.fits("network", tuple(output.shape[1:]), labels[:1])

    def counted(self) -> Explained:
        return Explained()


def _vary(labels: Tensor, what: str, without: str) -> None:
    """Refuse labels of which a number is the same for all samples."""
    flat = labels.reshape(len(labels), -1)
    still = (flat == flat[:1]).all(0)
    if len(labels) > 1 and bool(still.any()):
        at = int(still.nonzero()[0])
        which = f"number {at} of the " if flat.shape[1] > 1 else "the "
        raise DataError(
            f"All {len(labels):,} {what} are {float(flat[0, at]) + 0.0:g} ({which}label): expected numbers that "
            f"differ, or {without}."
        )


def squared(output: Tensor, labels: Tensor) -> Tensor:
    """The squared difference of samples, the mean over their numbers, (n,)."""
    return (output.reshape(labels.shape) - labels).square().reshape(len(labels), -1).mean(1)


class Explained(ByBatch):
    """R squared, the share of the labels' variance that is explained, the mean over their numbers."""

    units: Mapping[str, str] = MappingProxyType({"label_r2": ""})

    def add(self, output: Tensor, labels: Tensor) -> None:
        """Keep the squared errors and the labels of a batch."""
        found, wanted = (part.detach().cpu().double().reshape(len(labels), -1) for part in (output, labels))
        self.parts.append(((found - wanted).square(), wanted))

    @property
    def size(self) -> tuple[int, int]:
        n = sum(len(part) for part, _ in self.parts)
        return n, 3 * self.parts[0][0].shape[1] if n else 0

    @cached_property
    def _table(self) -> Drawn:
        """Squared errors, labels less their mean, and their squares, (n, 3 numbers)."""
        squares, labels = (stacked(list(parts)) for parts in zip(*self.parts))
        apart = labels - labels.mean(0)
        return np.concatenate([squares, apart, apart**2], 1)

    def drawn(self, counts: Drawn) -> dict[str, Drawn]:
        n, (squares, means, spread) = counts.sum(1, keepdims=True), np.split(counts @ self._table, 3, 1)
        left = spread - means**2 / n
        with np.errstate(invalid="ignore", divide="ignore"):
            return {"label_r2": np.where(left > 0, 1 - squares / left, np.nan).mean(1)}

    def numbers(self) -> Mapping[str, Number]:
        """``label_r2``.

        Raises:
            DataError: if a number is the same in all labels.
        """
        labels = torch.cat([part for _, part in self.parts]) if self.parts else torch.zeros(0, 1)
        if not len(labels) or bool((labels == labels[:1]).all(0).any()):
            raise DataError(
                f"The {len(labels):,} labels that are measured on are all {float(labels[:1].sum()):g}: expected "
                "numbers that differ, or no variance is there to explain; measure on more samples."
            )
        return super().numbers()

    def level(self) -> float:
        """The variance of the labels: the error of their mean."""
        return float(stacked([part for _, part in self.parts]).var(0).mean())


REGRESSION = Regression()
