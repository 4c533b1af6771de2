"""Maps of classes: the error of a sample is the share of its pixels that are wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from types import MappingProxyType

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import DataError
from ..labels import IGNORED, check_range, check_whole
from .task import ByBatch, Drawn, Task, stacked


class Dense(Task):
    """Scores (n, classes, height, width) against classes (n, height, width), -100 where none counts."""

    has_classes = True
    scores = 1
    leveled = True
    built_in = True

    def __init__(self) -> None:
        super().__init__(
            "dense",
            share_wrong,
            loss=entropy,
            weight=pixels,
            unit="points of pixels",
            says="the share of its pixels whose largest score is not the right class; a sample counts by its pixels",
        )
        self.error_unit, self.loss_unit = "% of pixels", "nats"

    def take(self, labels: Tensor, where: str, *, n_classes: int | None = None, whole: bool = True) -> Tensor:
        labels = check_whole(labels.long() if bool((labels == labels.round()).all()) else labels, where)
        if labels.ndim == 4 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.ndim < 3:
            raise DataError(
                f"The labels of {where} are no maps, {tuple(labels.shape)}: expected a class for each pixel, (n, "
                "height, width)."
            )
        check_range(labels, n_classes, where, whole=whole)
        return labels

    def check_fit(self, labels: Tensor, where: str) -> None:
        used = labels[labels != IGNORED]
        if not len(used) or bool((used == used[0]).all()):
            found = f"All pixels of {where} are of class {int(used[0])}" if len(used) else f"No pixel of {where} counts"
            raise DataError(f"{found}: expected two classes; check the masks.")

    def outputs(self, labels: Iterable[Tensor]) -> int:
        return max(int(found.max()) for found in labels) + 1

    def fits(self, name: str, shape: tuple[int, ...], labels: Tensor) -> None:
        each = tuple(labels.shape[1:])
        if len(shape) != len(each) + 1 or shape[1:] != each:
            raise DataError(
                f"The top {name!r} gives values of shape {shape} for a sample with a map of shape {each}: "
                f"expected scores of each class first, (classes, {', '.join(map(str, each))}); scale the output to the "
                "size of the labels at the end of the network, and choose it with output=."
            )

    def check(self, output: Tensor, labels: Tensor) -> None:
        self.fits("network", tuple(output.shape[1:]), labels[:1])
        super().check(output, labels)

    def check_range(self, labels: Tensor, shape: tuple[int, ...]) -> None:
        used = labels[labels != IGNORED]
        if used.numel() and int(used.max()) >= shape[0]:
            hint = "give -100 where no class counts" if int(used.max()) == 255 else "use data with its own classes"
            raise DataError(
                f"A label is {int(used.max())}, the network has {shape[0]} classes: expected labels from 0 to "
                f"{shape[0] - 1}; {hint}."
            )

    def counted(self) -> Confused:
        return Confused()


def pixels(labels: Tensor) -> Tensor:
    """How many pixels of each sample count, (n,)."""
    return (labels != IGNORED).flatten(1).sum(1)


def share_wrong(output: Tensor, labels: Tensor) -> Tensor:
    """The percentage of wrong pixels of each sample, (n,)."""
    wrong = (output.argmax(1) != labels) & (labels != IGNORED)
    return 100.0 * wrong.flatten(1).sum(1) / pixels(labels).clamp(min=1)


def entropy(output: Tensor, labels: Tensor) -> Tensor:
    """The mean cross-entropy over the pixels of each sample, (n,)."""
    each = F.cross_entropy(output, labels, reduction="none", ignore_index=IGNORED)
    return each.flatten(1).sum(1) / pixels(labels).clamp(min=1)


class Confused(ByBatch):
    """How many pixels each sample has of each class, and how many are answered so: a few numbers a map, no pixel."""

    units: Mapping[str, str] = MappingProxyType({"miou": "percent"})

    def add(self, output: Tensor, labels: Tensor) -> None:
        """Count the pixels of a batch: of each class, answered so, and both; int32 (n, classes) each."""
        n, classes, used = len(labels), output.shape[1], labels != IGNORED
        answers, sample = output.argmax(1), torch.arange(len(labels), device=labels.device)
        sample = sample.view(-1, *[1] * (labels.ndim - 1)).expand_as(labels)

        def counted(where: Tensor, of: Tensor) -> Tensor:
            found = (sample[where] * classes + of[where]).bincount(minlength=n * classes)
            return found.view(n, classes).int().cpu()

        self.parts.append((counted(used, labels), counted(used, answers), counted(used & (answers == labels), labels)))

    @property
    def size(self) -> tuple[int, int]:
        n = sum(len(there) for there, _, _ in self.parts)
        return n, 2 * self.parts[0][0].shape[1] if n else 0

    @cached_property
    def _table(self) -> Drawn:
        """Intersections and unions, (n, 2 classes)."""
        there, answered, both = (stacked(list(part)) for part in zip(*self.parts))
        return np.concatenate([both, there + answered - both], 1)

    def drawn(self, counts: Drawn) -> dict[str, Drawn]:
        """``miou``: intersection over union, the mean over classes that are there or were answered, in percent."""
        both, either = np.split(counts @ self._table, 2, 1)
        shares = np.divide(both, either, out=np.zeros_like(both), where=either > 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return {"miou": 100.0 * shares.sum(1) / (either > 0).sum(1)}

    def level(self) -> float | None:
        """The error of the most frequent class everywhere."""
        there = stacked([part for part, _, _ in self.parts]).sum(0) if self.parts else np.zeros(1)
        return 100.0 * (1 - float(there.max()) / float(there.sum())) if there.sum() else None


DENSE = Dense()
