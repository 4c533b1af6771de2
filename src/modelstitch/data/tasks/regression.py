"""Numbers: the error of a sample is the squared difference, the mean over its numbers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ...errors import DataError
from .task import Number, Task, finite


class Regression(Task):
    """Outputs of the labels' shape, (n,), (n, 1) or (n, numbers), against numbers."""

    leveled = True
    built_in = True

    def __init__(self) -> None:
        super().__init__(
            "regression", squared, unit="MSE", says="the squared difference to the label, the mean over its numbers"
        )

    @property
    def loss_unit(self) -> str:
        return self.unit

    def take(self, labels: Tensor, where: str, *, n_classes: int | None = None, whole: bool = True) -> Tensor:
        if labels.dtype == torch.bool or labels.is_complex():
            raise DataError(f"The labels of {where} are of type {labels.dtype}: expected numbers for regression.")
        return finite(labels.float(), where)

    def check_fit(self, labels: Tensor, where: str) -> None:
        flat = labels.reshape(len(labels), -1)
        still = (flat == flat[:1]).all(0)
        if len(labels) > 1 and bool(still.any()):
            at = int(still.nonzero()[0])
            which = f"number {at} of the " if flat.shape[1] > 1 else "the "
            raise DataError(
                f"All {len(labels):,} fit labels of {where.removeprefix('the fit split of ')} are "
                f"{float(flat[0, at]) + 0.0:g} ({which}label): expected numbers that differ, or "
                "nothing is there to predict; leave out what is constant."
            )

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


def squared(output: Tensor, labels: Tensor) -> Tensor:
    """The squared difference of samples, the mean over their numbers, (n,)."""
    return (output.reshape(labels.shape) - labels).square().reshape(len(labels), -1).mean(1)


class Explained:
    """Sums for R squared, the share of the labels' variance that is explained, the mean over their numbers."""

    def __init__(self) -> None:
        self.n = 0
        self.squares = self.mean = self.spread = torch.zeros(())

    def add(self, output: Tensor, labels: Tensor) -> None:
        """Count a batch; means are merged as Chan, Golub and LeVeque do."""
        found, wanted = (part.detach().cpu().double().reshape(len(labels), -1) for part in (output, labels))
        n, mean = len(wanted), wanted.mean(0)
        apart = mean - self.mean
        total = self.n + n
        self.spread = self.spread + (wanted - mean).square().sum(0) + apart.square() * (self.n * n / total)
        self.mean = self.mean + apart * (n / total)
        self.squares = self.squares + (found - wanted).square().sum(0)
        self.n = total

    def numbers(self) -> Mapping[str, Number]:
        """``label_r2``.

        Raises:
            DataError: if a number is the same in all labels.
        """
        if not bool((self.spread > 0).all()):
            raise DataError(
                f"The {self.n:,} labels that are measured on are all {float(self.mean.flatten()[0]):g}: expected "
                "numbers that differ, or no variance is there to explain; measure on more samples."
            )
        return {"label_r2": (float((1 - self.squares / self.spread).mean()), "")}

    def level(self) -> float:
        """The variance of the labels: the error of their mean."""
        return float(self.spread.mean()) / max(self.n, 1)


REGRESSION = Regression()
