"""Write a file whole or not at all: temp file in the same folder, fsync, os.replace, fsync of the folder."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import tempfile
import time
from pathlib import Path

from .errors import StudyError

_TEMP = re.compile(r"\.tmp-(?P<host>.+)-(?P<pid>\d+)-[^-]+$")
_STALE_AFTER = 3600.0  # seconds; writing one file takes milliseconds


def write_atomic(path: Path, data: bytes | memoryview) -> None:
    """Put ``data`` at ``path``. A reader, or a run killed at any moment, sees the old file or the new one.

    Raises:
        StudyError: the folder cannot be written to, or the disk is full; nothing is left behind.
    """
    temp: str | None = None
    try:
        handle, temp = tempfile.mkstemp(prefix=f".tmp-{_host()}-{os.getpid()}-", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temp, 0o644)  # mkstemp makes files that only their owner reads; records are to be shared
        os.replace(temp, path)
        _sync_folder(path.parent)
    except OSError as error:
        if temp is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temp)
        raise StudyError(
            f"Cannot write {path}: expected a folder that is writable and has space, found "
            f"{error.strerror or error}; free some space, mend its permissions, or choose another folder."
        ) from error


def probe(folder: Path) -> None:
    """Make ``folder`` and write a small file into it, so that a bad disk is met before the work, not after.

    Raises:
        StudyError: the folder cannot be made or written to, or the disk is full.
    """
    make_folder(folder)
    trial = folder / f".tmp-{_host()}-{os.getpid()}-probe"
    write_atomic(trial, b"\0" * 65536)
    trial.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make ``folder``, and those above it, where it is not there yet.

    Raises:
        StudyError: if it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(
            f"Cannot make the folder {folder}: expected a path where folders may be made, "
            f"found {error.strerror or error}; choose another folder."
        ) from error


def is_temporary(path: Path) -> bool:
    """Whether ``path`` carries the name of a temp file of :func:`write_atomic`."""
    return _TEMP.search(path.name) is not None


def clean(folder: Path) -> list[Path]:
    """Remove temp files that killed runs left in ``folder``, and return them.

    A temp file of a live process stays: several runs may share one folder, also from several machines. The
    process is asked for where it is on this machine; elsewhere a file counts as left behind after an hour.
    """
    removed: list[Path] = []
    try:
        found_there = sorted(folder.iterdir())
    except FileNotFoundError:  # another run has just cleared it
        return removed
    for path in found_there:
        found = _TEMP.search(path.name)
        if found is None:
            continue
        with contextlib.suppress(FileNotFoundError):  # its writer has just finished
            here = found["host"] == _host()
            left = not _alive(int(found["pid"])) if here else time.time() - path.stat().st_mtime > _STALE_AFTER
            if left:
                path.unlink()
                removed.append(path)
    return removed


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # it exists and belongs to someone else
    return True


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname()) or "host"


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened for fsync there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
