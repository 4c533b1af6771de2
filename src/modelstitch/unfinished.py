"""Work that takes long, written down now and then: a run that was stopped goes on where it was."""

from __future__ import annotations

import contextlib
import io
import shutil
import time
from pathlib import Path
from typing import Any

import torch

from .atomic import make_folder, write_atomic

EVERY = 60.0  # seconds
SHARE = 0.05  # of the time that may go into writing, at most


class Unfinished:
    """The latest state of one piece of work, in one file.

    Args:
        path: the file; its name must stand for all that decides what the work does.

    Attributes:
        before: seconds that earlier runs spent on the state that was read.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.before = path, 0.0
        self._start = self._last = time.monotonic()
        self._took = 0.0

    @property
    def seconds(self) -> float:
        """What the work has taken so far, earlier runs included."""
        return self.before + time.monotonic() - self._start

    @property
    def due(self) -> bool:
        """Whether it is time to write again: later where a write takes long."""
        return time.monotonic() - self._last >= max(EVERY, self._took / SHARE)

    def read(self) -> dict[str, Any] | None:
        """The state as it was written, on the CPU; None if there is none, or none that can be read."""
        try:
            kept = torch.load(self.path, map_location="cpu", weights_only=True)
            self.before, state = float(kept["seconds"]), kept["state"]
        except Exception:  # torch.load raises anything on a damaged file; what it held is done again
            return None
        found: dict[str, Any] = state
        return found

    def write(self, state: dict[str, Any]) -> None:
        """Keep a state of tensors, plain values and containers of them, whole or not at all.

        Raises:
            StudyError: if the disk is full or the folder cannot be written to.
        """
        start = time.monotonic()
        make_folder(self.path.parent)
        data = io.BytesIO()
        torch.save({"seconds": self.seconds, "state": state}, data)
        write_atomic(self.path, data.getbuffer())
        self._last = time.monotonic()
        self._took = self._last - start

    def clear(self) -> None:
        """The work is done, and its result kept elsewhere."""
        self.path.unlink(missing_ok=True)


class Pieces:
    """The pieces of one piece of work, each with a file in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pieces: list[Unfinished] = []

    def piece(self, name: str) -> Unfinished:
        """The piece of that name."""
        self._pieces.append(Unfinished(self.folder / name.replace(" ", "-")))
        return self._pieces[-1]

    @property
    def before(self) -> float:
        """Seconds that earlier runs spent on what was taken up."""
        return sum(piece.before for piece in self._pieces)

    def clear(self) -> None:
        """The work is done, and its result kept elsewhere."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # others are unfinished, or there never was one
            self.folder.parent.rmdir()
