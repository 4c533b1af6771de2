"""Where things run: the device behind a name, and inputs brought there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import StudyError


def pick_device(device: str) -> torch.device:
    """The device of that name; "auto" is CUDA where there is one, else the CPU.

    Raises:
        StudyError: if the device is unknown or not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError) as error:
        line = str(error).splitlines()[0]
        raise StudyError(
            f"The device {device!r} cannot be used: expected 'cpu', 'cuda' or 'auto' (torch says: {line.rstrip('.')})."
        ) from error
    return found


def to_device(inputs: Any, device: torch.device | str) -> Any:
    """Tensors, and tuples and mappings of them, moved; a mapping of any kind (a tokenizer's output) becomes a dict."""
    if isinstance(inputs, Tensor):
        return inputs.to(device)
    if isinstance(inputs, Mapping):
        return {key: to_device(value, device) for key, value in inputs.items()}
    if isinstance(inputs, tuple):
        return tuple(to_device(value, device) for value in inputs)
    return inputs
