"""A task: what a label is, what a stitcher is fitted to, and what an error of one sample is, or of a whole split."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from ...errors import DataError, FitError, StitchError, first_line
from ...support.user_code import contents
from ..labels import finite

if TYPE_CHECKING:
    from ...network import Network


Number = tuple[float, str]  # with its unit
Drawn = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Each = Callable[[Tensor, Tensor], Tensor]  # (output, labels) -> one number a sample
Split = Literal["fit", "val", "test"]


@dataclass(frozen=True)
class Judged:
    """What a batch of outputs is worth, sample by sample.

    Attributes:
        errors: (n,), smaller is better.
        weights: (n,), what each counts in a mean.
        losses: (n,), what is fitted.
        answers: int64 (n,), what was answered, or how many answers were right; None where answers are no numbers.
        labels: int64 (n,), the answers that are right, where each sample has one.
        tokens: int64 (m,), all answers of sequences, one after another.
        hits: bool (m,), which of them are right.
    """

    errors: Tensor
    weights: Tensor
    losses: Tensor
    answers: Tensor | None = None
    labels: Tensor | None = None
    tokens: Tensor | None = None
    hits: Tensor | None = None

    def kept(self) -> Judged:
        """The same in CPU memory, without gradients."""
        rest = (self.answers, self.labels, self.tokens, self.hits)
        certain = (part.detach().cpu() for part in (self.errors, self.weights, self.losses))
        return Judged(*certain, *(None if part is None else part.detach().cpu() for part in rest))


class HasSplits(Protocol):
    """What a task may ask of data: see ``modelstitch.Data``."""

    name: str

    @property
    def fingerprint(self) -> str:
        """A hash of all samples."""
        ...

    def batches(self, split: Split, batch_size: int) -> Iterable[Any]:
        """A split in order, in batches with inputs and labels."""
        ...

    def labels(self, split: Split) -> Tensor:
        """All labels of a split."""
        ...


class Task:
    """Say what an error of one sample is, and what a stitcher is fitted to.

    Args:
        name: of the task, in records and on pages.
        error: (output, labels) -> (n,), one number for each sample of a batch.
        loss: the same, what the objective ``task`` is fitted to; by default the error.
        unit: of the error, as it is written behind a number: "degrees", "mm".
        better: "lower", or "higher" where ``error`` gives a score: then the error is the score with its sign turned.
        says: what an error of one sample is, in words: "the distance to the label".
        weight: labels -> (n,), what each sample counts in a mean; all the same by default.
        near: up to what penalty a stitch counts as near 0; by default 3 % of the error of one answer that is the same
            for all samples.

    Raises:
        StitchError: if something is no function, or no text.

    Examples:
        >>> def distance(output, labels):
        ...     return (output - labels).norm(dim=1)
        >>> task = ms.Task("position", distance, unit="mm")
        >>> task.judge(torch.zeros(2, 3), torch.ones(2, 3)).errors.tolist()
        [1.7320507764816284, 1.7320507764816284]
    """

    by_class = False  # one class for each sample
    by_position = False  # a class for each position of a sequence
    needs_head = True  # an output that is features is not what labels are held against
    needs_labels = True  # data without labels do not do
    scores: int | None = None  # the axis of the output that holds scores of classes
    has_classes = False  # classes, or labels that hold at once, which may have names
    of_top = False  # what it is held against are not labels, but the outputs of the top by itself
    foreign = False  # what it is held against lies in one network's space: the others' own outputs say nothing there
    built_in = False
    leveled = False  # sums over a split tell the error of the best answer that is the same for all samples
    recordable = False  # a GPU may record a step of the loss, and replay it: it looks at no value

    def __init__(
        self,
        name: str,
        error: Each | None = None,
        *,
        loss: Each | None = None,
        unit: str = "error",
        better: Literal["lower", "higher"] = "lower",
        says: str = "",
        weight: Callable[[Tensor], Tensor] | None = None,
        near: float | None = None,
    ) -> None:
        for what, text in (("name", name), ("unit", unit), ("says", says)):
            if not isinstance(text, str) or (not text and what != "says"):
                raise StitchError(f"A task's {what} is {text!r:.60}: expected words, such as Task('angle', error).")
        given: dict[str, Any] = {"error": error, "loss": loss, "weight": weight}
        for what, function in given.items():
            if function is not None and not callable(function):
                raise StitchError(
                    f"The {what} of the task {name!r} is {function!r:.60}: expected a function of (output, labels) "
                    "that gives one number for each sample."
                )
        if better not in ("lower", "higher"):
            raise StitchError(f"The task {name!r} has better={better!r:.40}: expected 'lower' or 'higher'.")
        if near is not None and (
            isinstance(near, bool) or not isinstance(near, int | float) or not 0 < near < math.inf
        ):
            raise StitchError(f"The task {name!r} has near={near!r:.40}: expected a number above 0, in its unit.")
        self.name, self.unit, self.better, self.says, self.near = name, unit, better, says, near
        self._error, self._loss, self._weight = error, loss, weight
        # Of an error by itself, where a difference of two has another name, and of the loss.
        self.error_unit = unit if better == "lower" else f"{unit} (sign turned)"
        self.loss_unit = unit if loss is None else ""

    def take(self, labels: Tensor, where: str, *, n_classes: int | None = None, whole: bool = True) -> Tensor:
        """Give labels as the task reads them, (n, ...).

        Args:
            labels: as the data hold them.
            where: how a message calls them.
            n_classes: as it was given.
            whole: these are all labels of a split.

        Returns:
            The labels, (n, ...).

        Raises:
            DataError: if they are none that the task can take.

        Examples:
            >>> task = ms.Task("angle", lambda output, labels: (output - labels).abs(), unit="degrees")
            >>> task.take(torch.tensor([4.0, 9.0]), "my labels").tolist()
            [4.0, 9.0]
        """
        return finite(labels, where)

    def check_fit(self, labels: Tensor, where: str) -> None:
        """Refuse labels of a whole fit split that there is nothing to learn from.

        Args:
            labels: all of the split, (n, ...).
            where: how a message calls them.

        Raises:
            DataError: if they are all the same.

        Examples:
            >>> task = ms.Task("angle", lambda output, labels: (output - labels).abs(), unit="degrees")
            >>> task.check_fit(torch.tensor([4.0, 9.0]), "my labels")
        """
        if len(labels) > 1 and bool((labels == labels[:1]).all()):
            raise DataError(
                f"All {len(labels):,} labels of {where} are the same: expected labels that differ; check label_key=, "
                "or the table's column."
            )

    def check_test(self, labels: Tensor, where: str) -> None:
        """Refuse labels of a whole test split that nothing can be measured on.

        Args:
            labels: all of the split, (n, ...).
            where: how a message calls them.

        Raises:
            DataError: if no error of them says anything.

        Examples:
            >>> task = ms.Task("angle", lambda output, labels: (output - labels).abs(), unit="degrees")
            >>> task.check_test(torch.tensor([4.0, 9.0]), "my labels")
        """

    def outputs(self, labels: Iterable[Tensor]) -> int:
        """Count what a head has to give.

        Args:
            labels: of all splits, piece by piece, (n, ...) each.

        Returns:
            How many numbers.

        Examples:
            >>> task = ms.Task("angle", lambda output, labels: (output - labels).abs().mean(1), unit="degrees")
            >>> task.outputs([torch.zeros(5, 3)])
            3
        """
        return max(1, next(iter(labels))[0].numel())

    def fits(self, name: str, shape: tuple[int, ...], labels: Tensor) -> None:
        """Refuse a network whose output cannot be held against labels.

        Args:
            name: of the network.
            shape: of its output for one sample.
            labels: of one sample, (1, ...).

        Raises:
            DataError: naming both shapes.

        Examples:
            >>> data.task.fits("net", (8, 8), torch.tensor([0]))
            Traceback (most recent call last):
            modelstitch.errors.DataError: The top 'net' gives values of shape (8, 8) for a sample with one label: ...
        """

    def check(self, output: Tensor, labels: Tensor) -> None:
        """Refuse labels of a batch that an output cannot be held against.

        Args:
            output: of the batch, (n, ...).
            labels: (n, ...), in CPU memory.

        Raises:
            DataError: naming both shapes.

        Examples:
            >>> data.task.check(torch.zeros(2, 10), torch.tensor([0, 9]))
        """
        self.check_range(labels, tuple(output.shape[1:]))

    def check_range(self, labels: Tensor, shape: tuple[int, ...]) -> None:
        """Refuse labels of a batch that a network does not know.

        Args:
            labels: (n, ...), in CPU memory.
            shape: of the network's output for one sample.

        Raises:
            DataError: naming the label.

        Examples:
            >>> data.task.check_range(torch.tensor([12]), (10,))
            Traceback (most recent call last):
            modelstitch.errors.DataError: A label is 12, the network has 10 outputs: ...
        """

    def losses(self, output: Tensor, labels: Tensor) -> Tensor:
        """Give what is fitted, sample by sample.

        Args:
            output: of a batch, (n, ...).
            labels: (n, ...), on the same device.

        Returns:
            The losses, (n,).

        Examples:
            >>> output, labels = torch.tensor([[2.0, 0.0], [0.0, 3.0]]), torch.tensor([0, 0])
            >>> [round(loss, 2) for loss in data.task.losses(output, labels).tolist()]
            [0.13, 3.05]
        """
        return self._each(self._loss, "loss", output, labels) if self._loss is not None else self.errors(output, labels)

    def errors(self, output: Tensor, labels: Tensor) -> Tensor:
        """Give the errors of samples.

        Args:
            output: of a batch, (n, ...).
            labels: (n, ...), on the same device.

        Returns:
            The errors, (n,); smaller is better.

        Examples:
            >>> output, labels = torch.tensor([[2.0, 0.0], [0.0, 3.0]]), torch.tensor([0, 0])
            >>> data.task.errors(output, labels).tolist()
            [0.0, 100.0]
        """
        assert self._error is not None
        found = self._each(self._error, "error", output, labels)
        return -found if self.better == "higher" else found

    def weights(self, labels: Tensor) -> Tensor | None:
        """Give what each sample counts in a mean.

        Args:
            labels: (n, ...).

        Returns:
            Weights (n,); None where all count the same.

        Raises:
            FitError: if the function gives anything else.

        Examples:
            >>> task = ms.Task("angle", lambda output, labels: (output - labels).abs(), unit="degrees")
            >>> task.weights(torch.zeros(2)) is None  # all count the same
            True
        """
        if self._weight is None:
            return None
        found = self._weight(labels)
        if not isinstance(found, Tensor) or found.shape != labels.shape[:1] or not bool((found >= 0).all()):
            raise FitError(
                f"The weight of the task {self.name!r} must give a number of 0 or more for each of {len(labels)} "
                f"samples, found {_shape(found)}."
            )
        return found

    def judge(self, output: Tensor, labels: Tensor) -> Judged:
        """Hold a batch of outputs against labels.

        Args:
            output: of a batch, (n, ...).
            labels: (n, ...), on the same device.

        Returns:
            Errors, weights, losses, and answers where they are numbers.

        Raises:
            FitError: if a function does not give one number for each sample.

        Examples:
            >>> task = ms.Task("angle", lambda output, labels: (output - labels).abs(), unit="degrees")
            >>> task.judge(torch.tensor([5.0, 9.0]), torch.tensor([4.0, 9.0])).errors.tolist()
            [1.0, 0.0]
        """
        errors = self.errors(output, labels)
        weights = self.weights(labels)
        return Judged(
            errors,
            torch.ones_like(errors) if weights is None else weights.to(errors.dtype),
            errors if self._loss is None else self.losses(output, labels),
        )

    def fitted(self, output: Tensor, labels: Tensor) -> Tensor:
        """Give the loss of a batch: the mean as it is measured.

        Args:
            output: of a batch, (n, ...).
            labels: (n, ...), on the same device.

        Returns:
            One number with a gradient.

        Raises:
            FitError: if it has none.

        Examples:
            >>> task = ms.Task("angle", lambda output, labels: (output - labels).abs(), unit="degrees")
            >>> task.fitted(torch.tensor([5.0, 9.0]), torch.tensor([4.0, 9.0])).item()
            0.5
        """
        losses, weights = self.losses(output, labels), self.weights(labels)
        if torch.is_grad_enabled() and output.requires_grad and not losses.requires_grad:
            raise FitError(
                f"The task {self.name!r} has nothing to fit: its {'error' if self._loss is None else 'loss'} does not "
                "depend on the output in a way that has a gradient; give Task(..., loss=) a smooth one, or use "
                "objective='match', 'distill' or 'downstream'."
            )
        if weights is None:
            return losses.mean()
        return (losses * weights).sum() / weights.sum().clamp(min=1e-12)

    def chance(self, outputs: int) -> float | None:
        """Give the error of answers drawn at random.

        Args:
            outputs: how many values a network gives at each place.

        Returns:
            The error; None: that of one answer for all samples stands in for it, which is measured.

        Examples:
            >>> data.task.chance(10)
            90.0
        """
        return None

    def counted(self) -> Counted | None:
        """Make empty sums for numbers that are no mean over samples.

        Returns:
            The sums; None where the task has no such numbers.

        Examples:
            >>> task = ms.Task("angle", lambda output, labels: (output - labels).abs(), unit="degrees")
            >>> task.counted() is None  # its numbers are means over samples
            True
        """
        return None

    def numbers(self, error: float, counted: Counted | None) -> dict[str, Number]:
        """Give what is told of a whole split beside its mean error.

        Args:
            error: the mean.
            counted: the sums of ``counted``, with all batches added.

        Returns:
            {name: (number, unit)}.

        Examples:
            >>> each = lambda output, labels: (output - labels).abs()
            >>> ms.Task("closeness", each, unit="degrees", better="higher").numbers(-5.0, None)
            {'score': (5.0, 'degrees')}
        """
        alone = self.of_error(error)
        return alone if counted is None else {**alone, **counted.numbers()}

    def of_error(self, error: float) -> dict[str, Number]:
        """Give what follows from the mean error of a split alone, whose interval it then shares.

        Args:
            error: the mean, or an end of its interval; each number must rise with it throughout, or fall.

        Returns:
            {name: (number, unit)}.

        Examples:
            >>> task = ms.Task("angle", lambda output, labels: (output - labels).abs(), unit="degrees")
            >>> task.of_error(5.0)
            {}
        """
        return {"score": (-error, self.unit)} if self.better == "higher" else {}

    def stated(self) -> dict[str, Any]:
        """Say what records keep of the task.

        Returns:
            Plain values, equal for equal tasks.

        Examples:
            >>> task = ms.Task("angle", lambda output, labels: (output - labels).abs(), unit="degrees")
            >>> task.stated()["name"]
            'angle'
        """
        held = {"error": self._error, "loss": self._loss, "weight": self._weight}
        own = {what: function for what, function in held.items() if function is not None}
        return {
            "name": self.name,
            "unit": self.unit,
            **({"better": self.better} if self.better != "lower" else {}),
            **({"says": self.says} if self.says else {}),
            **({"near": float(self.near)} if self.near is not None else {}),
            **({} if self.built_in or not own else {"code": contents(own)}),
        }

    def with_option(self, text: str) -> Task:
        """Give the task that a name with an option means, such as "retrieval:5".

        Args:
            text: what stands behind the colon.

        Returns:
            The task.

        Raises:
            DataError: it takes none, or another.

        Examples:
            >>> ms.tasks.RETRIEVAL.with_option("5").unit
            'points of recall@5'
        """
        raise DataError(f"The task {self.name!r} takes no option, found {self.name}:{text}: leave it out.")

    def for_top(self, top: Network, data: HasSplits, device: torch.device) -> Task:
        """Give the task as it stands for one top.

        Args:
            top: the network whose error is measured.
            data: that are measured on.
            device: where to run it.

        Returns:
            The task itself, unless something of the top belongs to it.

        Raises:
            DataError: the top or the data do not do for it.

        Examples:
            >>> data.task.for_top(top, data, torch.device("cpu")) is data.task
            True
        """
        return self

    def measured_by(self, metric: Each | Task) -> Task:
        """Give the same task with other errors.

        Args:
            metric: (output, labels) -> (n,), or a task whose error it is.

        Returns:
            The task; labels and loss are those of this one.

        Raises:
            StitchError: if it is no metric.

        Examples:
            >>> data.task.measured_by(lambda output, labels: (output.argmax(1) != labels).float()).name
            'classification'
        """
        return Remeasured(self, metric)

    def __repr__(self) -> str:
        return f"Task({self.name!r}, unit={self.unit!r})"

    def _each(self, function: Each, what: str, output: Tensor, labels: Tensor) -> Tensor:
        """The result of a user's function, checked."""
        try:
            found: Any = function(output, labels)
        except StitchError:
            raise
        except Exception as error:
            raise FitError(
                f"The {what} of the task {self.name!r} fails on outputs of shape {tuple(output.shape)} and labels of "
                f"shape {tuple(labels.shape)} ({type(error).__name__}: {first_line(error)}): expected one number for "
                "each sample."
            ) from error
        if not isinstance(found, Tensor) or found.shape != output.shape[:1] or found.is_complex():
            raise FitError(
                f"The {what} of the task {self.name!r} must give one number for each of {len(output)} samples, found "
                f"{_shape(found)}; reduce over all axes but the first, for example with .flatten(1).mean(1)."
            )
        return found if found.is_floating_point() else found.to(output.dtype)


_OF_LABELS = (  # what another metric leaves as it is
    *("by_class", "by_position", "needs_head", "needs_labels", "scores", "has_classes", "of_top", "foreign"),
    *("loss_unit", "take", "check_fit", "check_test", "outputs", "fits", "check", "check_range", "fitted"),
)


class Remeasured(Task):
    """A task whose errors are given by another metric; labels and loss stay.

    Args:
        of: the task.
        metric: what gives the errors.
    """

    def __init__(self, of: Task, metric: Each | Task) -> None:
        given = metric if isinstance(metric, Task) else Task(metric_name(metric), metric, unit=metric_name(metric))
        super().__init__(
            of.name,
            given._error or given.errors,
            loss=of.losses,
            unit=given.unit,
            better=given.better if given._error else "lower",
            says=given.says or f"{given.name}, a metric of the user's own",
            weight=given._weight,
            near=given.near,
        )
        self.of, self.metric = of, given
        for name in _OF_LABELS:
            setattr(self, name, getattr(of, name))

    def for_top(self, top: Network, data: HasSplits, device: torch.device) -> Task:
        own = self.of.for_top(top, data, device)
        return self if own is self.of else Remeasured(own, self.metric)

    def stated(self) -> dict[str, Any]:
        return {**self.of.stated(), "metric": self.metric.stated(), "unit": self.unit, "says": self.says}


def metric_name(metric: Any) -> str:
    """How records call a metric.

    Raises:
        StitchError: if it is no function.
    """
    name = str(getattr(metric, "__name__", type(metric).__name__)).strip("<>")
    if not callable(metric):
        raise StitchError(
            f"The metric {metric!r:.60} is none: expected a function (output, labels) that gives one number for each "
            "sample, or a Task."
        )
    return name


def _shape(found: Any) -> str:
    return f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__


class Counted(Protocol):
    """What is collected over a whole split."""

    def add(self, output: Tensor, labels: Tensor) -> None:
        """Count a batch."""
        ...

    def numbers(self) -> Mapping[str, Number]:
        """What it gives, by name."""
        ...

    def level(self) -> float | None:
        """The error of the best answer that is the same for all samples; None where it does not tell."""
        ...


class Resampled(ABC):
    """Counts of a split that can be counted again with other weights of its samples: its numbers have intervals.

    A number is better, the larger it is.

    Attributes:
        units: of the numbers, by name.
    """

    units: Mapping[str, str]

    @abstractmethod
    def add(self, output: Tensor, labels: Tensor) -> None:
        """Count a batch."""

    @abstractmethod
    def level(self) -> float | None:
        """The error of the best answer that is the same for all samples; None where it does not tell."""

    @abstractmethod
    def drawn(self, counts: Drawn) -> dict[str, Drawn]:
        """Give the numbers of samples drawn again.

        Args:
            counts: how often each sample is there, (draws, n), in the order in which they were added.

        Returns:
            A value for each draw, by name, (draws,); NaN where it is not defined.
        """

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """How many samples there are, and how many numbers a draw reads of each."""

    def numbers(self) -> Mapping[str, Number]:
        """What the whole split gives, by name; what is not defined is left out."""
        n = self.size[0]
        found = self.drawn(np.ones((1, n))) if n else {}
        return {name: (float(value[0]), self.units[name]) for name, value in found.items() if np.isfinite(value[0])}


class ByBatch(Resampled):
    """Counts that are nothing but numbers of each sample, batch by batch.

    Attributes:
        parts: of each batch, (n, ...) each.
    """

    def __init__(self) -> None:
        self.parts: list[tuple[Tensor, ...]] = []

    def state(self) -> list[Tensor]:
        """What was counted so far."""
        return [torch.cat(column) for column in zip(*self.parts)]

    def take_up(self, state: list[Tensor]) -> None:
        """Go on from what ``state`` gave."""
        self.parts = [tuple(state)] if state else []


def stacked(parts: list[Tensor]) -> Drawn:
    """Batches of numbers of samples, (n, ...) each, as one float64 array."""
    return np.concatenate([part.detach().cpu().double().numpy() for part in parts])
