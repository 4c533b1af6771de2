"""What a stitched network is worth: per-example errors, the penalty and its paired interval, agreement.

Classification: an example's error is 0 or 100 and means are percent; differences are points. Sequences (labels
(n, t), -100 ignored): an example's error is its mean nats per token, weighted by its tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import DataError, MeasureError, NonFiniteError
from ..stats import bootstrap
from ..support.nonfinite import first_bad

IGNORED = -100
NATS = "nats/token"


@dataclass(frozen=True)
class Estimate:
    """A number with its interval at level 0.95; ``low`` and ``high`` are None where there is no interval."""

    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""

    def __str__(self) -> str:
        interval = "" if self.low is None else f" [{self.low:+.2f}, {self.high:+.2f}]"
        return f"{self.value:+.2f}{interval} {self.unit}".strip()


@dataclass
class Outcome:
    """What one network did on one split, example by example, in the order of the split.

    Attributes:
        errors: float64 (n,), 0 or 100 (classification), or nats per token.
        weights: float64 (n,), 1, or the number of tokens.
        losses: float64 (n,), cross-entropy in nats.
        predictions: int64 (n,), the predicted class, or the number of tokens predicted right.
        ids: int64 (n,), the samples' ids.
        unit: "points" or "nats/token".
        tokens: of sequences the predicted token wherever a label counts, sample after sample, int64 (m,); else None.
        labels: the classes, int64 (n,); None of sequences.
        source: which examples these are, equal for two outcomes on the same ones; empty where nobody has to know.
    """

    errors: Tensor
    weights: Tensor
    losses: Tensor
    predictions: Tensor
    ids: Tensor
    unit: str = "points"
    tokens: Tensor | None = None
    source: str = ""
    labels: Tensor | None = None

    @property
    def answers(self) -> Tensor:
        """What was answered, class by class or token by token."""
        return self.predictions if self.tokens is None else self.tokens

    @property
    def error(self) -> float:
        """The weighted mean error: percent, or nats per token."""
        return float((self.errors * self.weights).sum() / self.weights.sum())

    @property
    def loss(self) -> float:
        """The weighted mean cross-entropy in nats."""
        return float((self.losses * self.weights).sum() / self.weights.sum())


@dataclass
class Tally:
    """Collects an Outcome batch by batch."""

    parts: list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]] = field(default_factory=list)
    unit: str = "points"
    tokens: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)

    def add(self, output: Tensor, labels: Tensor, ids: Tensor, *, where: str = "") -> None:
        """Add one batch: output (n, classes) and labels (n,), or (n, t, vocabulary) and (n, t).

        Raises:
            NonFiniteError: if the output holds NaN or infinity.
            DataError: if the output and the labels do not fit together.
        """
        output = output.detach().float()
        sample = None if bool(torch.isfinite(output).all()) else first_bad(output, ids)
        if sample is not None:
            raise NonFiniteError(
                f"The output{f' of {where}' if where else ''} holds NaN or infinity, first for the sample {sample}: "
                "expected finite numbers; check the weights, or use float32 instead of half precision."
            )
        _check_form(output, labels)
        check_range(labels, output.shape[-1])
        labels = labels.to(output.device)
        losses = example_losses(output, labels)
        if labels.ndim == 1:
            predictions = output.argmax(-1)
            errors, weights = 100.0 * (predictions != labels), torch.ones_like(losses)
            self.labels.append(labels.cpu())
        else:
            self.unit = NATS
            used, chosen = (labels != IGNORED).sum(1), output.argmax(-1)
            predictions = ((chosen == labels) & (labels != IGNORED)).sum(1)
            self.tokens.append(chosen[labels != IGNORED].cpu())
            errors, weights = losses, used.to(losses.dtype)
        self.parts.append(tuple(t.detach().cpu() for t in (errors, weights, losses, predictions, ids)))  # type: ignore[arg-type]

    def outcome(self, source: str = "") -> Outcome:
        """All that was added; ``source`` names the examples."""
        errors, weights, losses, predictions, ids = (torch.cat(column) for column in zip(*self.parts))
        tokens, labels = (torch.cat(parts) if parts else None for parts in (self.tokens, self.labels))
        return Outcome(
            errors.double(), weights.double(), losses.double(), predictions, ids, self.unit, tokens, source, labels
        )


def example_losses(output: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each example in nats, (n,): mean over the tokens that count for sequences; see ``check_range``.

    Raises:
        DataError: if the output has another form than the labels need.
    """
    _check_form(output, labels)
    flat = F.cross_entropy(output.flatten(0, -2), labels.flatten(), reduction="none", ignore_index=IGNORED)
    if labels.ndim == 1:
        return flat
    used = (labels != IGNORED).sum(1).clamp(min=1)
    return flat.view(labels.shape).sum(1) / used


def check_range(labels: Tensor, outputs: int) -> None:
    """Refuse labels that a network with so many outputs does not know.

    On labels in CPU memory, since a GPU would be waited for.

    Raises:
        DataError: if a label is below 0 (in sequences IGNORED is allowed) or too large.
    """
    low, high = int(labels.min()), int(labels.max())
    if high >= outputs or low < (0 if labels.ndim == 1 else IGNORED):
        from_one = " Labels that count from 1 need 1 subtracted." if high == outputs and low > 0 else ""
        raise DataError(
            f"A label is {high if high >= outputs else low}, the network has {outputs} outputs: expected labels from 0 "
            f"to {outputs - 1}; use data with the top network's own classes.{from_one}"
        )


def _check_form(output: Tensor, labels: Tensor) -> None:
    if output.ndim != labels.ndim + 1 or output.shape[:-1] != labels.shape:
        raise DataError(
            f"The network's output has shape {tuple(output.shape)}, the labels {tuple(labels.shape)}: expected one "
            "score per class for each label; choose the output that holds the scores with output=."
        )


def penalty(stitched: Outcome, top: Outcome, *, seed: int = 0) -> Estimate:
    """error(stitched) - error(top) on the same examples, with a paired bootstrap interval over examples."""
    return difference(stitched, top, seed=seed)


def difference(one: Outcome, other: Outcome, *, seed: int = 0) -> Estimate:
    """error(one) - error(other), paired by example, with the interval of ``modelstitch.stats.bootstrap``.

    One example gives a value without an interval.

    Raises:
        MeasureError: if the two were not measured on the same examples.
    """
    check_paired(one, other)
    deltas, weights = (one.errors - other.errors).numpy(), one.weights.numpy()
    value = float((deltas * weights).sum() / weights.sum())
    if len(deltas) < 2:
        return Estimate(value, unit=one.unit)
    ends = (-100.0, 100.0) if one.unit == "points" else None
    low, high = bootstrap.interval(bootstrap.means([deltas], weights, ends=ends, seed=seed)[:, 0])
    return Estimate(value, low, high, one.unit)


def perplexities(stitched: Outcome, top: Outcome) -> dict[str, Estimate]:
    """exp(nats per token) of a stitch and of its top: among how many equally likely tokens they would choose."""
    return {
        name: Estimate(float(np.exp(min(outcome.error, 700.0))), unit="tokens")
        for name, outcome in (("perplexity", stitched), ("top_perplexity", top))
    }


def agreement(one: Outcome, other: Outcome) -> Estimate:
    """The share of examples, or of tokens, in percent, on which two networks predict the same."""
    check_paired(one, other)
    return Estimate(100.0 * float((one.answers == other.answers).double().mean()), unit="percent")


def chance_agreement(one: Outcome, other: Outcome) -> Estimate:
    """The agreement, in percent, that the frequencies of two networks' answers would give if they were unrelated."""
    check_paired(one, other)
    most = int(max(one.answers.max(), other.answers.max())) + 1
    shares = [torch.bincount(o.answers, minlength=most).double() / len(o.answers) for o in (one, other)]
    return Estimate(100.0 * float(shares[0] @ shares[1]), unit="percent")


def check_paired(one: Outcome, other: Outcome) -> None:
    """Refuse outcomes of different samples or orders.

    Raises:
        MeasureError: naming the first difference.
    """
    if one.unit != other.unit:
        raise MeasureError(f"Errors in {one.unit} and in {other.unit} cannot be compared.")
    if len(one.ids) != len(other.ids) or not bool((one.ids == other.ids).all()):
        raise MeasureError(
            f"Two networks were measured on different samples or orders ({len(one.ids)} and {len(other.ids)}): "
            "expected the same ids in the same order."
        )
