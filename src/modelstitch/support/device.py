"""Where things run: the device behind a name, and inputs brought there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import StudyError, first_line
from .kinds import as_found


def pick_device(device: str | torch.device) -> torch.device:
    """The device of that name; "auto" is CUDA where there is one, else the CPU.

    Raises:
        StudyError: if the device is unknown or not there.
    """
    if isinstance(device, str) and device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not isinstance(device, str | torch.device):
        raise StudyError(f"The device is none: expected 'cpu', 'cuda' or 'auto', found {as_found(device)}.")
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError) as error:
        line = first_line(error)
        raise StudyError(
            f"The device {device!r} cannot be used: expected 'cpu', 'cuda' or 'auto' (torch says: {line.rstrip('.')})."
        ) from error
    return found


def to_device(inputs: Any, device: torch.device | str) -> Any:
    """Tensors, and tuples and mappings of them, moved; a mapping of any kind (a tokenizer's output) becomes a dict."""
    return mapped(inputs, lambda part: part.to(device) if isinstance(part, Tensor) else part)


def mapped(inputs: Any, change: Callable[[Any], Any]) -> Any:
    """A change of every part of nested mappings, which become dicts, and tuples."""
    if isinstance(inputs, Mapping):
        return {key: mapped(value, change) for key, value in inputs.items()}
    if isinstance(inputs, tuple):
        return tuple(mapped(value, change) for value in inputs)
    return change(inputs)


def parts(inputs: Any) -> Iterator[Any]:
    """The parts of nested mappings and tuples."""
    nested = inputs.values() if isinstance(inputs, Mapping) else inputs if isinstance(inputs, tuple) else None
    if nested is None:
        yield inputs
    for value in nested or ():
        yield from parts(value)
