"""A class for each position, such as the next token or a hidden one: an error is their mean cross-entropy."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from ...errors import DataError
from ..labels import IGNORED, check_form
from .classification import ClassTask, refusal
from .task import Judged, Number

NATS = "nats/token"


class NextToken(ClassTask):
    """Scores (n, positions, classes) against classes (n, positions), -100 where none counts."""

    by_position = True

    def __init__(
        self, name: str = "next-token", says: str = "the mean cross-entropy over the positions that count"
    ) -> None:
        super().__init__(name, unit=NATS, says=says)

    def check_fit(self, labels: Tensor, where: str) -> None:
        """Text of one token over and over is text."""

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

    def of_error(self, error: float) -> dict[str, Number]:
        """Perplexity, exp(nats per token): among how many equally likely tokens it would choose."""
        return {"perplexity": (math.exp(min(error, 700.0)), "tokens")}


NEXT_TOKEN = NextToken()
MASKED_TOKEN = NextToken("masked-token", "the mean cross-entropy over the tokens that were hidden")
