"""What a stitched network is worth: per-example errors, the penalty and its paired interval, agreement.

What an error of one example is, the data's task says: see ``modelstitch.data.tasks``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.tasks import CLASSIFICATION, Task
from ..data.tasks.task import ByBatch, Counted, Judged, Number, Resampled
from ..errors import MeasureError, NonFiniteError
from ..network.nonfinite import first_bad
from ..stats import bootstrap

_READ, _FEWEST = 400_000_000, 400  # numbers that are read for an interval of what is no mean, and its fewest draws


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
        errors: float64 (n,), 0 or 100 (classification), nats per token, or what else the task says.
        weights: float64 (n,), 1, or what a sample counts, such as its number of tokens.
        losses: float64 (n,), what the objective ``task`` fits.
        predictions: int64 (n,), the predicted class, or the number of tokens predicted right; None where answers are
            no numbers.
        ids: int64 (n,), the samples' ids.
        unit: of a difference of errors: "points", "nats/token", or another one.
        tokens: of sequences the predicted token wherever a label counts, sample after sample, int64 (m,); else None.
        hits: of sequences which of these are right, bool (m,); else None.
        labels: the classes, int64 (n,); None of sequences.
        source: which examples these are, equal for two outcomes on the same ones; empty where nobody has to know.
        error_unit, loss_unit: of an error, and of a loss, by itself.
        numbers: what is no mean over samples, by name, each with its unit.
        chance: the error of one answer that is the same for all samples; None where it was not measured.
        near: up to what difference the task says that errors are near; None where it says nothing.
        counted: what gives the numbers, in the order of the samples; None where the task has none.
        bounds: of numbers that follow from the mean error alone, the ends of their intervals, by name.
    """

    errors: Tensor
    weights: Tensor
    losses: Tensor
    predictions: Tensor | None
    ids: Tensor
    unit: str = "points"
    tokens: Tensor | None = None
    source: str = ""
    labels: Tensor | None = None
    error_unit: str = "percent"
    loss_unit: str = "nats"
    numbers: dict[str, Number] = field(default_factory=dict)
    chance: float | None = None
    near: float | None = None
    hits: Tensor | None = None
    counted: Counted | None = None
    bounds: dict[str, bootstrap.Bounds] = field(default_factory=dict)

    @cached_property
    def replicates(self) -> dict[str, bootstrap.Floats]:
        """The numbers of samples drawn again, (draws,), by name: equal draws for outcomes on the same samples."""
        if not isinstance(self.counted, Resampled):
            return {}
        n, each = self.counted.size
        if n < 2:
            return {}
        resamples = max(_FEWEST, min(bootstrap.RESAMPLES, _READ // (n * each)))
        drawn = [self.counted.drawn(counts) for counts in bootstrap.draws(n, resamples=resamples)]
        return {name: np.concatenate([part[name] for part in drawn]) for name in drawn[0]}

    @property
    def answers(self) -> Tensor | None:
        """What was answered, class by class or token by token; None where answers are no numbers."""
        return self.predictions if self.tokens is None else self.tokens

    @property
    def error(self) -> float:
        """The weighted mean error, in ``error_unit``."""
        return float((self.errors * self.weights).sum() / self.weights.sum())

    @property
    def loss(self) -> float:
        """The weighted mean loss, in ``loss_unit``."""
        return float((self.losses * self.weights).sum() / self.weights.sum())


class Tally:
    """Collect an Outcome batch by batch.

    Args:
        task: says what an error is.
        whole: count what is no mean over samples, too.
        constant: an answer, (...), that is the same for all samples: its error is the level of chance.
    """

    def __init__(self, task: Task = CLASSIFICATION, *, whole: bool = False, constant: Tensor | None = None) -> None:
        self.task = task
        self._parts: list[tuple[Judged, Tensor]] = []
        self._counted: Counted | None = task.counted() if whole else None
        self._constant, self._level = constant, (0.0, 0.0)
        self._whole = whole

    def add(self, output: Tensor, labels: Tensor, ids: Tensor, *, where: str = "") -> None:
        """Add one batch: output and labels as the task takes them.

        Raises:
            NonFiniteError: if the output, or an error, holds NaN or infinity.
            DataError: if the output and the labels do not fit together.
        """
        output = output.detach().float()
        if not bool(torch.isfinite(output).all()):
            raise NonFiniteError(
                f"The output{f' of {where}' if where else ''} holds NaN or infinity, first for the sample "
                f"{first_bad(output, ids)}: expected finite numbers; check the weights and inputs, or use float32 "
                "instead of half precision."
            )
        self.task.check(output, labels)
        labels = labels.to(output.device)
        found = self.task.judge(output, labels)
        if not bool(torch.isfinite(found.errors).all() & torch.isfinite(found.losses).all()):
            raise NonFiniteError(
                f"The error{f' of {where}' if where else ''} is NaN or infinite for a sample, in the task "
                f"{self.task.name!r}: expected finite numbers; check the error's function where it divides or takes a "
                "root."
            )
        if self._counted is not None:
            self._counted.add(output, labels)
        if self._constant is not None and self._constant.shape == output.shape[1:]:
            same = self.task.judge(self._constant.to(output).expand_as(output), labels)
            weights = same.weights.double()
            total, weight = self._level
            self._level = total + float((same.errors.double() * weights).sum()), weight + float(weights.sum())
        self._parts.append((found.kept(), ids.cpu()))

    @property
    def lasting(self) -> bool:
        """Whether ``state`` is all that there is: a task may count in a way of its own."""
        return self._counted is None or isinstance(self._counted, ByBatch)

    def state(self) -> dict[str, Any]:
        """What was added so far."""
        return {
            "columns": self._columns() if self._parts else None,
            "ids": torch.cat([ids for _, ids in self._parts]) if self._parts else None,
            "counted": self._counted.state() if isinstance(self._counted, ByBatch) else None,
            "level": list(self._level),
        }

    def take_up(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self._parts = [] if state["ids"] is None else [(Judged(**state["columns"]), state["ids"])]
        if isinstance(self._counted, ByBatch):
            self._counted.take_up(state["counted"])
        total, weight = state["level"]
        self._level = total, weight

    def _columns(self) -> dict[str, Any]:
        return {name: _joined([getattr(part, name) for part, _ in self._parts]) for name in Judged.__annotations__}

    def outcome(self, source: str = "") -> Outcome:
        """All that was added; ``source`` names the examples."""
        columns = self._columns()
        errors, weights, losses = (columns[name] for name in ("errors", "weights", "losses"))
        assert errors is not None
        assert weights is not None
        assert losses is not None
        task = self.task
        found = Outcome(
            errors.double(),
            weights.double(),
            losses.double(),
            columns["answers"],
            torch.cat([ids for _, ids in self._parts]),
            task.unit,
            columns["tokens"],
            source,
            columns["labels"],
            task.error_unit,
            task.loss_unit,
            near=task.near,
            hits=columns["hits"],
            counted=self._counted,
        )
        if not float(found.weights.sum()) > 0:
            raise MeasureError(
                f"No label counts in the task {task.name!r}: expected one at least that is not left out."
            )
        total, weight = self._level
        level = None if self._counted is None else self._counted.level()
        found.chance = level if level is not None else total / weight if weight else None
        if self._whole:
            found.numbers, found.bounds = task.numbers(found.error, self._counted), _bounds(task, found)
        return found


def _bounds(task: Task, found: Outcome) -> dict[str, bootstrap.Bounds]:
    """The ends of the mean error's interval, as what follows from it alone."""
    if len(found.errors) < 2 or not task.of_error(found.error):
        return {}
    ends = bootstrap.ends_of(found.unit, alone=True)
    if ends is not None and task.better == "higher":
        ends = -ends[1], -ends[0]
    drawn = bootstrap.means([found.errors.numpy()], found.weights.numpy(), ends=ends)[:, 0]
    low, high = map(task.of_error, bootstrap.interval(drawn))
    return {name: (min(low[name][0], high[name][0]), max(low[name][0], high[name][0])) for name in low}


def _joined(parts: list[Tensor | None]) -> Tensor | None:
    there = [part for part in parts if part is not None]
    return torch.cat(there) if there else None


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
    drawn = bootstrap.means([deltas], weights, ends=bootstrap.ends_of(one.unit), seed=seed)
    low, high = bootstrap.interval(drawn[:, 0])
    return Estimate(value, low, high, one.unit)


def numbers(stitched: Outcome, top: Outcome) -> dict[str, Estimate]:
    """What is told of a stitch and of its top beside mean errors, by name.

    The top's begin with ``top_``. What follows from the mean error alone has its interval. Where samples can be drawn
    again there are intervals, too, and a penalty, by how much the top's number is larger, paired by sample.
    """
    found = {}
    for name, (value, unit) in stitched.numbers.items():
        other, drawn = top.numbers[name][0], [side.replicates.get(name) for side in (stitched, top)]
        for side, whose, number, own in (("", stitched, value, drawn[0]), ("top_", top, other, drawn[1])):
            bounds = whose.bounds.get(name)
            found[f"{side}{name}"] = Estimate(number, *bounds, unit) if bounds else _with_interval(number, own, unit)
        if drawn[0] is not None and drawn[1] is not None:
            points = "points" if unit == "percent" else unit
            found[f"{name}_penalty"] = _with_interval(other - value, drawn[1] - drawn[0], points)
    return found


def _with_interval(value: float, replicates: bootstrap.Floats | None, unit: str) -> Estimate:
    if replicates is None or not np.isfinite(replicates).any():
        return Estimate(value, unit=unit)
    return Estimate(value, *bootstrap.interval(replicates), unit)


def agreement(one: Outcome, other: Outcome) -> Estimate:
    """The share of examples, or of tokens, in percent, on which two networks predict the same."""
    check_paired(one, other)
    first, second = _answers(one, other)
    return Estimate(100.0 * float((first == second).double().mean()), unit="percent")


def chance_agreement(one: Outcome, other: Outcome) -> Estimate:
    """The agreement, in percent, that the frequencies of two networks' answers would give if they were unrelated."""
    check_paired(one, other)
    found = _answers(one, other)
    most = int(max(answers.max() for answers in found)) + 1
    shares = [torch.bincount(answers, minlength=most).double() / len(answers) for answers in found]
    return Estimate(100.0 * float(shares[0] @ shares[1]), unit="percent")


def _answers(one: Outcome, other: Outcome) -> tuple[Tensor, Tensor]:
    if one.answers is None or other.answers is None:
        raise MeasureError("Answers agree where they are numbers of classes: expected some, found none.")
    return one.answers, other.answers


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
