"""Samples as pairs (input, label): what a dataset gives for [i], or how to make such pairs of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError, first_line

LABELS = ("label", "labels", "fine_label", "target", "targets", "y", "class")
_TOKENS = "input_ids"
_WRITE = "(inputs, labels) for the whole split, TensorDataset(inputs, labels), or list(zip(inputs, labels))"

Keys = str | Sequence[str]


def pair_of(sample: Any, input_key: Keys | None = None, label_key: str | None = None) -> tuple[Any, Any]:
    """The (input, label) of a sample: of a pair as it is, of a dict by its keys.

    Args:
        sample: what a dataset gives.
        input_key: the key of a dict's input, or several, for an input that is a dict; the one that is left, or all
            beside ``input_ids``, if left out.
        label_key: that of the label; the one of the usual names if left out.

    Raises:
        DataError: with what was found, and what to write.
    """
    if isinstance(sample, Mapping):
        inputs, label = keys_of(sample, input_key, label_key)
        value = sample[inputs] if isinstance(inputs, str) else {key: _value(sample[key], key) for key in inputs}
        return (_value(value, inputs) if isinstance(inputs, str) else value), sample[label]
    if input_key is not None or label_key is not None:
        raise DataError(
            f"The dataset's samples are of type {_kind(sample)}: input_key= and label_key= name keys of dicts."
        )
    if isinstance(sample, tuple | list) and len(sample) == 2:
        _check_input(sample[0])
        numbers = isinstance(sample[0], list) and sample[0] and not isinstance(sample[0][0], Tensor | np.ndarray | str)
        return (_value(sample[0], 0) if numbers else sample[0]), sample[1]
    if isinstance(sample, tuple | list):
        way = f"it has {len(sample)} parts; wrap the dataset in one that gives two of them, sample[0] and sample[1]"
    elif isinstance(sample, Tensor | np.ndarray):
        way = f"give labels, too, as {_WRITE}; similarity() looks at no labels, there any whole numbers do"
    elif _is_picture(sample):
        way = f"an input {_PICTURE}, and a label beside it"
    else:
        way = f"give {_WRITE}"
    raise DataError(f"The dataset's samples are of type {_kind(sample)}: expected pairs (input, label); {way}.")


def keys_of(sample: Mapping[str, Any], input_key: Keys | None, label_key: str | None) -> tuple[Keys, str]:
    """The keys of the input and of the label of samples that are dicts.

    Raises:
        DataError: if they are not there, or several are.
    """
    known = ", ".join(map(repr, sample))
    asked = [input_key] if isinstance(input_key, str) else list(input_key or [])
    for key in asked if label_key is None else [*asked, label_key]:
        if key not in sample:
            raise DataError(f"The samples have no key {key!r}: found {known}; check input_key= and label_key=.")
    label = label_key or _label_of(sample, asked, known)
    if input_key is not None:
        return (input_key if isinstance(input_key, str) else tuple(input_key)), label
    rest = [key for key in sample if key != label]
    if len(rest) == 1:
        return rest[0], label
    if _TOKENS in rest and not any(_is_raw(sample[key]) for key in rest):
        return tuple(rest), label
    raise DataError(
        f"The samples are dicts with the keys {known}: expected one beside the label {label!r}, or input_ids; name "
        f"the keys, for example {_example(sample, label)}; several as input_key=['a', 'b']."
    )


def _label_of(sample: Mapping[str, Any], asked: Sequence[str], known: str) -> str:
    usual = [key for key in LABELS if key in sample and key not in asked]
    if len(usual) != 1:
        found = "more than one label" if usual else "no label by its usual name"
        raise DataError(
            f"The samples are dicts with the keys {known}, {found}: name the keys, for example "
            f"{_example(sample, 'label')}."
        )
    return usual[0]


def _example(sample: Mapping[str, Any], label: str) -> str:
    return f"Data(..., input_key={_likely(sample)!r}, label_key={label!r})"


def _likely(sample: Mapping[str, Any]) -> str:
    rest = [key for key in sample if key not in LABELS] or list(sample)
    return next((key for key in ("image", "img", "pixel_values", _TOKENS) if key in rest), rest[0] if rest else "image")


_PICTURE = (
    "is a tensor: turn pictures into tensors with the dataset's transform=torchvision.transforms.ToTensor(), or "
    "PILToTensor() for bytes"
)


def _value(value: Any, key: Any) -> Any:
    """One input of a dict: lists of numbers become tensors."""
    if isinstance(value, str | bytes):
        raise DataError(
            f"The input {key!r} is text, {value!r:.40}: expected numbers; tokenize it first, or name another key "
            f"with input_key=."
        )
    if value is None:
        raise DataError(
            f"The input {key!r} of a sample is None: expected a tensor or numbers; fill the gaps or leave them out."
        )
    _check_input(value)
    if isinstance(value, list | tuple):
        try:
            return torch.tensor(value) if not any(isinstance(v, Tensor) for v in value) else torch.stack(list(value))
        except (TypeError, ValueError, RuntimeError) as error:
            raise DataError(
                f"The input {key!r} is a list that makes no tensor ({first_line(error)}): expected numbers "
                f"of one shape."
            ) from error
    return value


def _check_input(value: Any) -> None:
    if _is_picture(value):
        raise DataError(
            f"A sample's input is a PIL image ({value.mode}, {value.width}x{value.height}): expected a tensor; give "
            "the dataset transform=torchvision.transforms.ToTensor() (PILToTensor() keeps bytes), after a Resize "
            "where sizes differ."
        )


def _is_raw(value: Any) -> bool:
    return isinstance(value, str | bytes) or _is_picture(value)


def _is_picture(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "PIL"


def _kind(sample: Any) -> str:
    words = type(sample).__name__
    return f"{words} of {len(sample)}" if isinstance(sample, tuple | list) else words
