"""Several labels that may hold at once: the error of a sample is the share of its labels that are wrong."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import DataError
from .task import ByBatch, Drawn, Task, stacked

Bools = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


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
        self.error_unit, self.loss_unit = "% of labels", "nats"

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


class Ranked(ByBatch):
    """All scores, for the average precision of each label: two numbers for each label of a sample are kept."""

    units: Mapping[str, str] = MappingProxyType({"average_precision": ""})

    def add(self, output: Tensor, labels: Tensor) -> None:
        """Keep a batch."""
        self.parts.append((output.detach().cpu(), labels.cpu() > 0))

    @property
    def size(self) -> tuple[int, int]:
        n = sum(len(scores) for scores, _ in self.parts)
        return n, 4 * self.parts[0][0].shape[1] if n else 0

    def drawn(self, counts: Drawn) -> dict[str, Drawn]:
        """``average_precision``: the mean over labels, those that hold for no sample left out."""
        scores, held = (stacked(list(parts)) for parts in zip(*self.parts))
        each = np.stack([average_precision(s, h > 0, counts) for s, h in zip(scores.T, held.T)])
        known = np.isfinite(each)
        with np.errstate(invalid="ignore", divide="ignore"):
            return {"average_precision": np.where(known, each, 0.0).sum(0) / known.sum(0)}

    def level(self) -> float:
        """The error of the more frequent answer to each label."""
        shares = torch.cat([held for _, held in self.parts]).double().mean(0)
        return 100.0 * float(torch.minimum(shares, 1 - shares).mean())


def average_precision(scores: Drawn, held: Bools, counts: Drawn) -> Drawn:
    """The precision at each sample that a label holds for, in the order of scores, averaged; ties are one place.

    Args:
        scores: (n,).
        held: (n,), where the label holds.
        counts: how often each sample is there, (draws, n).

    Returns:
        A value for each draw, (draws,); NaN where the label holds for no sample that is there.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.append(ranked[1:] != ranked[:-1], True)  # of equal scores the last place
    there = counts[:, order]
    places, right = there.cumsum(1)[:, last], (there * held[order]).cumsum(1)[:, last]
    gained = np.diff(right, axis=1, prepend=0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Drawn = (gained * right / np.maximum(places, 1.0)).sum(1) / right[:, -1]
    return found


MULTI_LABEL = MultiLabel()
