"""Work that takes long, written down now and then: a run that was stopped goes on where it was."""

from __future__ import annotations

import contextlib
import io
import time
from pathlib import Path
from typing import IO, Any, cast

import torch

from ..errors import StudyError
from . import hashing
from .files import make_folder, set_aside, write_with
from .version import VERSION

EVERY = 60.0  # seconds
_LINE = 65  # bytes of a digest in hex, and the end of its line
SHARE = 0.05  # of the time that may go into writing, at most


class Unfinished:
    """The latest state of one piece of work, in one file: a digest, then what ``torch.save`` makes of it.

    Args:
        path: the file; its name must stand for all that decides what the work does, but for the device. A state is
            bound to it: under another name it is of other work.
        device: where the work is done; a state of another kind of device, or of another version, is not taken up.

    Attributes:
        before: seconds that earlier runs spent on the state that was read.
    """

    def __init__(self, path: Path, device: torch.device | str = "cpu") -> None:
        self.path, self.before = path, 0.0
        self._stamp = [VERSION, str(torch.__version__), torch.device(device).type, path.name]
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
        """The state as it was written, on the CPU; None if there is none, or none that can be taken up.

        One that changed since it was written, or is of other work, is set aside with a warning.

        Raises:
            StudyError: if it cannot be set aside.
        """
        try:
            with self.path.open("rb") as file:
                written = file.readline(_LINE).rstrip(b"\n")
                start = file.tell()
                sound = hashing.of_stream(file).encode() == written
                kept = torch.load(_from(file, start), map_location="cpu", weights_only=True) if sound else None
        except OSError:
            return None
        if kept is None:
            set_aside(self.path, f"The state of unfinished work in {self.path} changed since it was written")
            return None
        if kept["stamp"][3:] != self._stamp[3:]:
            set_aside(
                self.path,
                f"The state of unfinished work in {self.path} is that of {' '.join(kept['stamp'][3:]) or 'other work'}",
            )
            return None
        if kept["stamp"] != self._stamp:
            return None
        self.before = float(kept["seconds"])
        found: dict[str, Any] = kept["state"]
        return found

    def write(self, state: dict[str, Any]) -> None:
        """Keep a state of tensors, plain values and containers of them, whole or not at all.

        Nothing where memory is short.

        Raises:
            StudyError: if the disk is full or the folder cannot be written to.
        """
        start = time.monotonic()
        held = {"stamp": self._stamp, "seconds": self.seconds, "state": state}

        def put(target: Path) -> None:
            with open(target, "wb") as file:
                file.write(hashing.of(b"").encode() + b"\n")  # room for the digest, which is known at the end
                content = _Hashed(file)
                try:
                    torch.save(held, cast(IO[bytes], content))
                except RuntimeError:
                    if content.failed is not None:  # torch goes on after it, and then speaks of a wrong position
                        raise content.failed from None
                    raise
                file.seek(0)
                file.write(content.digest())

        try:
            make_folder(self.path.parent)
            write_with(self.path, put)
        except MemoryError:
            self._last = time.monotonic()
            return
        except StudyError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            make_folder(self.path.parent)  # another run has just cleared what it had finished, and the folder
            write_with(self.path, put)
        self._last = time.monotonic()
        self._took = self._last - start

    def clear(self) -> None:
        """The work is done, and its result kept elsewhere."""
        self.path.unlink(missing_ok=True)


def _from(file: IO[bytes], start: int) -> IO[bytes]:
    """What stands in a file from a place on, as a file that is read where it lies: nothing is held beside it."""
    return cast(IO[bytes], io.BufferedReader(_Remainder(file, start)))


class _Remainder(io.RawIOBase):
    def __init__(self, file: IO[bytes], start: int) -> None:
        self._file, self._start = file, start
        file.seek(start)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, to: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(to + (self._start if whence == io.SEEK_SET else 0), whence) - self._start

    def tell(self) -> int:
        return self._file.tell() - self._start

    def readinto(self, room: Any) -> int:
        return cast(io.BufferedReader, self._file).readinto(room)


class _Hashed:
    """A file that is written piece by piece, and hashed as it goes: nothing large is held beside it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._hash = file, hashing.Hash()
        self.failed: OSError | None = None

    def write(self, part: bytes | memoryview) -> int:
        """Add some bytes."""
        self._hash.add(bytes(part))
        try:
            return self._file.write(part)
        except OSError as error:
            self.failed = error
            raise

    def flush(self) -> None:
        """What torch asks of a file."""

    def digest(self) -> bytes:
        """Of all that was written."""
        return self._hash.hex().encode()


class Pieces:
    """The pieces of one piece of work, each with a file in a folder that all such work shares.

    Args:
        key: stands for all that decides what the work does, but for the device.
    """

    def __init__(self, folder: Path, key: str, device: torch.device | str = "cpu") -> None:
        self._folder, self._key, self._device = folder, key, device
        self._pieces: list[Unfinished] = []

    def piece(self, name: str) -> Unfinished:
        """The piece of that name."""
        path = self._folder / f"{self._key}-{name.replace(' ', '-')}"
        self._pieces.append(Unfinished(path, self._device))
        return self._pieces[-1]

    @property
    def before(self) -> float:
        """Seconds that earlier runs spent on what was taken up."""
        return sum(piece.before for piece in self._pieces)

    def clear(self) -> None:
        """The work is done, and its result kept elsewhere."""
        for piece in self._pieces:
            piece.clear()
        tidy(self._folder)


def tidy(folder: Path) -> None:
    """Remove the folder of unfinished work where none is left."""
    with contextlib.suppress(OSError):  # it holds some, or there never was one
        folder.rmdir()
