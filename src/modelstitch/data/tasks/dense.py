"""Maps of classes: the error of a sample is the share of its pixels that are wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch.nn.functional as F
from torch import Tensor

from ...errors import DataError
from ..labels import IGNORED, check_range, check_whole
from .task import Number, Task


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

    @property
    def error_unit(self) -> str:
        return "% of pixels"

    @property
    def loss_unit(self) -> str:
        return "nats"

    def take(self, labels: Tensor, where: str, *, n_classes: int | None = None, whole: bool = True) -> Tensor:
        labels = check_whole(labels.long() if bool((labels == labels.round()).all()) else labels)
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
        if bool((labels == labels.flatten()[0]).all()):
            raise DataError(
                f"All pixels of {where} are of class {int(labels.flatten()[0])}: expected two classes; check the masks."
            )

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


class Confused:
    """How often each class was answered for each class, (classes, classes): its size does not grow with the data."""

    def __init__(self) -> None:
        self.counts: Tensor | None = None

    def add(self, output: Tensor, labels: Tensor) -> None:
        """Count a batch."""
        classes, used = output.shape[1], labels != IGNORED
        pairs = labels[used] * classes + output.argmax(1)[used]
        counts = pairs.bincount(minlength=classes**2).view(classes, classes).cpu()
        self.counts = counts if self.counts is None else self.counts + counts

    def numbers(self) -> Mapping[str, Number]:
        """``miou``: intersection over union, the mean over classes that are there or were answered, in percent."""
        if self.counts is None:
            return {}
        both = self.counts.diagonal().double()
        either = self.counts.sum(0) + self.counts.sum(1) - both
        found = (both / either)[either > 0]
        return {"miou": (100.0 * float(found.mean()), "percent")} if len(found) else {}

    def level(self) -> float | None:
        """The error of the most frequent class everywhere."""
        if self.counts is None or not int(self.counts.sum()):
            return None
        return 100.0 * (1 - float(self.counts.sum(1).max()) / float(self.counts.sum()))


DENSE = Dense()
