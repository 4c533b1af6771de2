"""Where things run: the device behind a name."""

from __future__ import annotations

import torch

from .errors import StudyError


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
            f"The device {device!r} cannot be used: expected 'cpu', 'cuda' or 'auto', found {line}."
        ) from error
    return found
