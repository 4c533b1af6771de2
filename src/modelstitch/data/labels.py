"""Labels as tensors, and the checks of those that are numbers of classes: what means something else is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import DataError

IGNORED = -100  # the label that torch's losses skip by default (padding of a sequence)
MOST_CLASSES = 2**22  # more than any vocabulary; a table of so many counts is still small
_ENOUGH = 16  # rows that are one-hot together by chance in one of 65,536 cases at most


def as_labels(found: Any, classes: Sequence[str] | None = None) -> Tensor:
    """Labels as a tensor (n, ...): int64 of bools and whole floats (n,), other floats as they are; (n, 1) is (n,).

    Args:
        found: a tensor, an array or numbers; names where there are ``classes``.
        classes: the names of the classes, in label order.

    Raises:
        DataError: with what was found, and how to make labels of it.
    """
    if classes is not None and (named := _named(found, classes)) is not None:
        return named
    try:
        labels = torch.as_tensor(found)
    except (TypeError, ValueError, RuntimeError) as error:  # names of classes, above all
        values = found.tolist() if hasattr(found, "tolist") else found
        first = values[0] if isinstance(values, list | tuple) and values else values
        if getattr(getattr(found, "dtype", None), "kind", "O") in "fciu":
            raise DataError(
                f"The labels are of type {found.dtype}: expected a type of numbers that torch knows, such as float32."
            ) from error
        raise DataError(
            f"A label is {first!r:.80}: expected whole numbers, of classes or ids, or numbers where the task takes "
            "them; number the classes and give their names as classes=."
        ) from error
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    return labels if labels.is_complex() or (labels.is_floating_point() and not _whole(labels)) else labels.long()


_CLASSES = (
    "the numbers of the classes; of one-hot labels make them with .argmax(1), and where labels are numbers, or several "
    "at once, name the task, such as Data(..., task='regression'); similarity() looks at no labels, any whole numbers "
    "do for it"
)
IDS = "ids; number them, for example with torch.unique(labels, return_inverse=True)"


def check_whole(labels: Tensor, where: str, what: str = _CLASSES) -> Tensor:
    """Refuse labels that are no whole numbers, and give the others as int64.

    Args:
        labels: (n, ...).
        where: how a message calls them.
        what: they are to be, and how to make them so.

    Raises:
        DataError: with what was found, and how to make labels of it.
    """
    if labels.is_floating_point() or labels.is_complex():
        finite(labels, where)
        raise DataError(f"The labels of {where} are of type {labels.dtype}: expected integers, {what}.")
    return labels.long()


def finite(labels: Tensor, where: str) -> Tensor:
    """Refuse labels that hold NaN or infinity.

    Raises:
        DataError: with their count and the first of them.
    """
    if not labels.is_floating_point() or bool(labels.isfinite().all()):
        return labels
    bad = ~labels.isfinite().flatten(1).all(1) if labels.ndim > 1 else ~labels.isfinite()
    count, first = int(bad.sum()), int(bad.nonzero()[0])
    raise DataError(
        f"{count} label{'s' if count > 1 else ''} of {where} {'hold' if count > 1 else 'holds'} NaN or infinity, the "
        f"first is at place {first}: expected numbers; leave out samples without a label."
    )


def check_form(output: Tensor, labels: Tensor) -> None:
    """Refuse an output that has no score for each class and label.

    Raises:
        DataError: naming both shapes.
    """
    if output.ndim != labels.ndim + 1 or output.shape[:-1] != labels.shape:
        raise DataError(
            f"The network's output has shape {tuple(output.shape)}, the labels {tuple(labels.shape)}: expected one "
            "score per class for each label; choose the output that holds the scores with output=."
        )


def check_outputs(labels: Tensor, outputs: int) -> None:
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


def check_one_hot(labels: Tensor, where: str) -> None:
    """Refuse labels (n, classes) with one 1 in each row: they would be read as sequences of 0 and 1.

    Raises:
        DataError: with the way to make numbers of them.
    """
    if labels.ndim != 2 or labels.shape[1] < 2 or len(labels) < _ENOUGH:
        return
    if bool(((labels == 0) | (labels == 1)).all()) and bool((labels.sum(1) == 1).all()):
        raise DataError(
            f"The labels of {where} are one-hot, {tuple(labels.shape)} with one 1 in each row: expected the number of "
            "the class; give labels.argmax(1), or task='multi-label' where several may hold at once."
        )


def check_range(labels: Tensor, n_classes: int | None, where: str, *, whole: bool = True) -> None:
    """Refuse labels that are no numbers of classes. ``where`` names the split.

    ``whole`` tells that these are all of it.

    Raises:
        DataError: with their count, the first of them, and what is expected.
    """
    used = labels[labels != IGNORED] if labels.ndim > 1 else labels
    high = MOST_CLASSES if n_classes is None else n_classes
    wrong = (used < 0) | (used >= high)
    if not bool(wrong.any()):
        return
    count, first = int(wrong.sum()), int(used[wrong][0])
    limits = "0 or more" if n_classes is None else f"0 to {n_classes - 1}"
    hint = "check the labels or the number of classes"
    if n_classes is None and first >= MOST_CLASSES:
        limits = f"the number of a class, below {MOST_CLASSES:,}"
        hint = "number the classes from 0, for example with torch.unique(labels, return_inverse=True)"
    elif first == n_classes and int(used.min()) == 1:
        hint = "labels that count from 1 need 1 subtracted"
    elif first in (-1, IGNORED) and labels.ndim == 1:
        hint = "leave out samples without a label"
    raise DataError(
        f"{'' if whole else 'At least '}{count} label{'s' if count > 1 else ''} of {where} "
        f"{'are' if count > 1 else 'is'} out of range, the first is {first}: expected {limits}; {hint}."
    )


def _named(found: Any, classes: Sequence[str]) -> Tensor | None:
    """The numbers of labels that are names of classes; None where they are no names."""
    values = found.tolist() if hasattr(found, "tolist") else found
    if not isinstance(values, list | tuple) or not values or not isinstance(values[0], str):
        return None
    number = {name: i for i, name in enumerate(classes)}
    unknown = next((value for value in values if value not in number), None)
    if unknown is not None:
        some = ", ".join(classes[:10])
        raise DataError(
            f"A label is {unknown!r:.80}: expected one of the {len(classes)} classes ({some}); check classes=."
        )
    return torch.tensor([number[value] for value in values])


def _whole(labels: Tensor) -> bool:
    return labels.ndim == 1 and bool((labels == labels.round()).all()) and bool(labels.isfinite().all())
