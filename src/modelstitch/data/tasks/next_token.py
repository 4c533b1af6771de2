"""A class for each position, such as the next token: an error is the mean cross-entropy over positions that count."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor

from ...errors import DataError
from ..labels import IGNORED, check_form, check_one_hot, check_outputs, check_range, check_whole
from .classification import refusal
from .counted import Counted, Number
from .task import Judged, Task

NATS = "nats/token"


class NextToken(Task):
    """Scores (n, positions, classes) against classes (n, positions), -100 where none counts."""

    by_position = True
    scores = -1
    has_classes = True
    built_in = True
    recordable = True

    def __init__(
        self, name: str = "next-token", says: str = "the mean cross-entropy over the positions that count"
    ) -> None:
        super().__init__(name, unit=NATS, says=says)

    @property
    def loss_unit(self) -> str:
        return NATS

    def take(self, labels: Tensor, where: str, *, n_classes: int | None = None, whole: bool = True) -> Tensor:
        labels = check_whole(labels)
        check_one_hot(labels, where)
        check_range(labels, n_classes, where, whole=whole)
        return labels

    def check_fit(self, labels: Tensor, where: str) -> None:
        """Text of one token over and over is text."""

    def outputs(self, labels: Iterable[Tensor]) -> int:
        return max(int(found.max()) for found in labels) + 1

    def fits(self, name: str, shape: tuple[int, ...], labels: Tensor) -> None:
        each = tuple(labels.shape[1:])
        if labels.ndim > 2 or (labels.ndim == 2 and shape[:-1] != each == shape[1:]):
            raise DataError(
                f"The top {name!r} gives values of shape {shape} for a sample with labels of shape {each}: expected "
                "the classes last and the positions in one line, (positions, classes) and labels (positions,); end the "
                "network with .flatten(2).transpose(1, 2), and flatten the labels of a sample."
            )
        if len(shape) != labels.ndim:
            more = "; labels that hold at once are measured one at a time, as two classes each"
            raise DataError(refusal(name, shape, f"labels of shape {each}", more))

    def check(self, output: Tensor, labels: Tensor) -> None:
        check_form(output, labels)
        self.check_range(labels, tuple(output.shape[1:]))

    def check_range(self, labels: Tensor, shape: tuple[int, ...]) -> None:
        check_outputs(labels, shape[-1])

    def losses(self, output: Tensor, labels: Tensor) -> Tensor:
        check_form(output, labels)
        flat = F.cross_entropy(output.flatten(0, -2), labels.flatten(), reduction="none", ignore_index=IGNORED)
        return flat.view(labels.shape).sum(1) / self.weights(labels).clamp(min=1)

    def errors(self, output: Tensor, labels: Tensor) -> Tensor:
        return self.losses(output, labels)

    def weights(self, labels: Tensor) -> Tensor:
        return (labels != IGNORED).sum(1)

    def judge(self, output: Tensor, labels: Tensor) -> Judged:
        losses, chosen, counts = self.losses(output, labels), output.argmax(-1), labels != IGNORED
        right = (chosen == labels) & counts
        weights = self.weights(labels).to(losses.dtype)
        return Judged(losses, weights, losses, right.sum(1), tokens=chosen[counts], hits=right[counts])

    def fitted(self, output: Tensor, labels: Tensor) -> Tensor:
        losses, tokens = self.losses(output, labels), self.weights(labels)
        return (losses * tokens).sum() / tokens.sum().clamp(min=1)

    def chance(self, outputs: int) -> float:
        return math.log(outputs)

    def numbers(self, error: float, counted: Counted | None) -> dict[str, Number]:
        """Perplexity, exp(nats per token): among how many equally likely tokens it would choose."""
        return {"perplexity": (math.exp(min(error, 700.0)), "tokens")}


NEXT_TOKEN = NextToken()
