"""Several labels that may hold at once: the error of a sample is the share of its labels that are wrong."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import DataError
from .task import Number, Task


class MultiLabel(Task):
    """Scores (n, labels), above 0 where a label holds, against 0 and 1, (n, labels)."""

    has_classes = True
    leveled = True
    built_in = True

    def __init__(self) -> None:
        super().__init__(
            "multi-label",
            share_wrong,
            loss=entropy,
            unit="points of labels",
            says="the share of its labels that are wrong, a score above 0 saying that a label holds",
        )

    @property
    def error_unit(self) -> str:
        return "% of labels"

    @property
    def loss_unit(self) -> str:
        return "nats"

    def take(self, labels: Tensor, where: str, *, n_classes: int | None = None, whole: bool = True) -> Tensor:
        if labels.ndim == 1:
            labels = labels[:, None]
        wrong = ~((labels == 0) | (labels == 1))
        if labels.ndim != 2 or bool(wrong.any()):
            found = f"shape {tuple(labels.shape)}" if labels.ndim != 2 else f"a {labels[wrong][0].item():g} among them"
            raise DataError(
                f"The labels of {where} are not 0 and 1 for each label of a sample, (n, labels): found {found}; make "
                "them so, for example with torch.nn.functional.one_hot(...).amax(1) of lists of classes."
            )
        if n_classes is not None and labels.shape[1] != n_classes:
            raise DataError(
                f"The samples of {where} have {labels.shape[1]} labels each: expected {n_classes}, as classes= or "
                "n_classes= says."
            )
        return labels.long()

    def check_fit(self, labels: Tensor, where: str) -> None:
        if len(labels) > 1 and bool((labels == labels[:1]).all()):
            raise DataError(
                f"All {len(labels):,} labels of {where} are the same: expected labels that hold for some samples "
                "and not for others."
            )

    def fits(self, name: str, shape: tuple[int, ...], labels: Tensor) -> None:
        if shape != tuple(labels.shape[1:]):
            raise DataError(
                f"The top {name!r} gives values of shape {shape} for a sample with {labels.shape[1]} labels that hold "
                f"or not: expected one score for each label, ({labels.shape[1]},), above 0 where it holds; choose the "
                "output that holds the scores with output=."
            )

    def check(self, output: Tensor, labels: Tensor) -> None:
        self.fits("network", tuple(output.shape[1:]), labels[:1])

    def counted(self) -> Ranked:
        return Ranked()


def share_wrong(output: Tensor, labels: Tensor) -> Tensor:
    """The percentage of wrong labels of each sample, (n,)."""
    return 100.0 * ((output > 0) != (labels > 0)).float().mean(1)


def entropy(output: Tensor, labels: Tensor) -> Tensor:
    """The mean binary cross-entropy of each sample, (n,)."""
    return F.binary_cross_entropy_with_logits(output, labels.to(output.dtype), reduction="none").mean(1)


class Ranked:
    """All scores, for the average precision of each label: two numbers for each label of a sample are kept."""

    def __init__(self) -> None:
        self.parts: list[tuple[Tensor, Tensor]] = []

    def add(self, output: Tensor, labels: Tensor) -> None:
        """Keep a batch."""
        self.parts.append((output.detach().cpu(), labels.cpu() > 0))

    def numbers(self) -> Mapping[str, Number]:
        """``average_precision``: the mean over labels, those that hold for no sample left out."""
        scores, held = (torch.cat(parts) for parts in zip(*self.parts))
        found = [average_precision(s, h) for s, h in zip(scores.T, held.T) if bool(h.any())]
        return {"average_precision": (sum(found) / len(found), "")} if found else {}

    def level(self) -> float:
        """The error of the more frequent answer to each label."""
        shares = torch.cat([held for _, held in self.parts]).double().mean(0)
        return 100.0 * float(torch.minimum(shares, 1 - shares).mean())


def average_precision(scores: Tensor, held: Tensor) -> float:
    """The precision at each sample that a label holds for, in the order of scores, averaged; ties are one place.

    Args:
        scores: (n,).
        held: bool (n,), where the label holds.
    """
    order = scores.argsort(descending=True)
    ranked, right = scores[order], held[order].double().cumsum(0)
    last = torch.ones(len(ranked), dtype=torch.bool)
    last[:-1] = ranked[1:] != ranked[:-1]  # of equal scores the last place
    places = torch.arange(1, len(ranked) + 1, dtype=torch.float64)[last]
    hits = right[last]
    gained = torch.diff(hits, prepend=torch.zeros(1, dtype=torch.float64))
    return float((gained * hits / places).sum() / hits[-1])


MULTI_LABEL = MultiLabel()
