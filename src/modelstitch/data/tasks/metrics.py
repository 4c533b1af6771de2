"""Metrics by name: what the error of a sample is, in place of the task's own."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ...errors import DataError
from ...support.words import hint
from ..labels import IGNORED
from .task import Each, Task


def absolute(output: Tensor, labels: Tensor) -> Tensor:
    """The absolute difference of numbers, the mean over those of a sample, (n,)."""
    if output.numel() != labels.numel() or not labels.is_floating_point():
        raise _unfit("absolute", "numbers for labels, and as many outputs", output, labels)
    return (output.reshape(labels.shape) - labels).abs().reshape(len(labels), -1).mean(1)


def cross_entropy(output: Tensor, labels: Tensor) -> Tensor:
    """Minus the log share of the right class, (n,)."""
    _need_classes("cross-entropy", output, labels)
    return F.cross_entropy(output, labels, reduction="none")


def top5(output: Tensor, labels: Tensor) -> Tensor:
    """100 where the right class is not among the five largest scores, else 0, (n,)."""
    _need_classes("top-5", output, labels)
    right = (output.topk(min(5, output.shape[1]), dim=1).indices == labels[:, None]).any(1)
    return 100.0 * (~right).to(output.dtype)


def any_wrong(output: Tensor, labels: Tensor) -> Tensor:
    """100 where one label of a sample at least is wrong, else 0, (n,)."""
    if output.shape != labels.shape or labels.ndim != 2 or not bool(((labels == 0) | (labels == 1)).all()):
        raise _unfit("any-wrong", "labels of 0 and 1, and a score for each", output, labels)
    return 100.0 * ((output > 0) != (labels > 0)).any(1).to(output.dtype)


def class_overlap(output: Tensor, labels: Tensor) -> Tensor:
    """100 minus the intersection over union in percent, the mean over the classes of a sample's own map, (n,)."""
    if output.ndim != 4 or labels.shape != (len(output), *output.shape[2:]):
        raise _unfit("overlap", "maps of classes, and scores (n, classes, height, width)", output, labels)
    used, chosen, classes = labels != IGNORED, output.argmax(1), output.shape[1]
    there, found = (F.one_hot(x.where(used, 0), classes).bool() & used[..., None] for x in (labels, chosen))
    both, either = ((there & found).flatten(1, 2).sum(1), (there | found).flatten(1, 2).sum(1))
    counted = either > 0
    shares = (both / either.clamp(min=1)).where(counted, 0.0)
    return 100.0 - 100.0 * (shares.sum(1) / counted.sum(1).clamp(min=1)).to(output.dtype)


METRICS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("absolute", absolute, unit="MAE", says="the absolute difference to the label"),
        Task("cross-entropy", cross_entropy, unit="nats", says="minus the log share of the right class"),
        Task("top-5", top5, unit="points of top-5", says="100 where the right class is not among the first five"),
        Task("any-wrong", any_wrong, unit="points of samples", says="100 where any of a sample's labels is wrong"),
        Task("overlap", class_overlap, unit="points of IoU", says="100 - the mean IoU of the classes of its map"),
    )
}


def metric_of(given: Each | Task | str) -> Each | Task:
    """Give the metric that is meant by a name; anything else is itself.

    Raises:
        DataError: if there is no such metric.
    """
    if not isinstance(given, str):
        return given
    if given in METRICS:
        return METRICS[given]
    raise DataError(f"The metric {given!r:.60} is unknown: {hint(given, METRICS, count=2, alike=0.6)}")


def _need_classes(name: str, output: Tensor, labels: Tensor) -> None:
    if output.ndim != 2 or labels.ndim != 1 or labels.is_floating_point():
        raise _unfit(name, "a class for each sample, and scores (n, classes)", output, labels)


def _unfit(name: str, wanted: str, output: Tensor, labels: Tensor) -> DataError:
    return DataError(
        f"The metric {name!r} is none of these labels, {tuple(labels.shape)} of {labels.dtype}, and outputs of shape "
        f"{tuple(output.shape)}: expected {wanted}; choose another metric, or leave it out."
    )
