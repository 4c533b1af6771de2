"""One class for each sample: its error is 0 or 100, is the largest score the right one?"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import DataError
from ...stats.chance import chance_error
from ..labels import check_form, check_one_hot, check_outputs, check_range, check_whole
from .task import Judged, Task


class ClassTask(Task):
    """Scores of classes, last in the output, against the numbers of classes."""

    scores = -1
    has_classes = True
    built_in = True
    recordable = True

    def take(self, labels: Tensor, where: str, *, n_classes: int | None = None, whole: bool = True) -> Tensor:
        labels = check_whole(labels, where)
        check_one_hot(labels, where)
        check_range(labels, n_classes, where, whole=whole)
        return labels

    def outputs(self, labels: Iterable[Tensor]) -> int:
        return max(int(found.max()) for found in labels) + 1

    def check(self, output: Tensor, labels: Tensor) -> None:
        check_form(output, labels)
        self.check_range(labels, tuple(output.shape[1:]))

    def check_range(self, labels: Tensor, shape: tuple[int, ...]) -> None:
        check_outputs(labels, shape[-1])


class Classification(ClassTask):
    """Scores (n, classes) against the numbers of classes, (n,)."""

    by_class = True

    def __init__(self) -> None:
        super().__init__("classification", unit="points", says="0 or 100 %: is the largest score the right one?")
        self.error_unit, self.loss_unit = "percent", "nats"

    def check_fit(self, labels: Tensor, where: str) -> None:
        if bool((labels == labels[0]).all()):
            name = where.removeprefix("the fit split of ")
            raise DataError(f"All {len(labels)} fit labels of {name} are {int(labels[0])}: expected two classes.")

    def fits(self, name: str, shape: tuple[int, ...], labels: Tensor) -> None:
        if shape == (1,):
            raise DataError(
                f"The top {name!r} gives one value for a sample: expected one score for each class; of one logit z of "
                "two classes make two, torch.cat([torch.zeros_like(z), z], 1), at the end of the network; where labels "
                "are numbers give Data(..., task='regression')."
            )
        if len(shape) != 1:
            raise DataError(refusal(name, shape, "one label"))

    def losses(self, output: Tensor, labels: Tensor) -> Tensor:
        check_form(output, labels)
        return F.cross_entropy(output, labels, reduction="none")

    def judge(self, output: Tensor, labels: Tensor) -> Judged:
        losses, found = self.losses(output, labels), output.argmax(-1)
        return Judged(100.0 * (found != labels), torch.ones_like(losses), losses, found, labels)

    def errors(self, output: Tensor, labels: Tensor) -> Tensor:
        return self.judge(output, labels).errors

    def chance(self, outputs: int) -> float:
        return chance_error(outputs)


INSTEAD = (
    "put a fitted linear head on it and trace that, choose the output that holds the scores with output=, or compare "
    "its layers with similarity(), which needs no labels"
)


def refusal(name: str, shape: tuple[int, ...], held: str, more: str = "") -> str:
    """The sentence on a network without a score for each class and label."""
    return (
        f"The top {name!r} gives values of shape {shape} for a sample with {held}: expected one score per class for "
        f"each label, without which there is no error to fit or to measure; {INSTEAD}{more}."
    )


CLASSIFICATION = Classification()
