"""Write a file whole or not at all: temp file in the same folder, fsync, os.replace, fsync of the folder."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import socket
import stat
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import StudyError

_TEMP = re.compile(r"\.tmp-(?P<host>.+)-(?P<pid>\d+)-[^-]+$")
_STALE_AFTER = 3600.0  # seconds; writing one file takes milliseconds
# Some file systems sync no folders, or nothing at all, and some keep no modes: what they lack is no failure.
_LACKING = {errno.EINVAL, errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EACCES}


class SetAside(UserWarning):
    """A kept file was damaged, or belongs to something else: it has another name now, and its work is done again."""


def write_atomic(path: Path, data: bytes | memoryview) -> None:
    """Put ``data`` at ``path``. A reader, or a run killed at any moment, sees the old file or the new one.

    A link is followed to the file behind it; a device or a pipe is written to as it is.

    Raises:
        StudyError: the folder cannot be written to, or the disk is full; nothing is left behind.
    """

    def put(target: Path) -> None:
        with open(target, "wb") as file:
            file.write(data)

    write_with(path, put)


def write_text(path: Path, text: str) -> None:
    """Put a text at ``path`` as UTF-8, whole or not at all, and make the folders above it.

    Raises:
        StudyError: as ``write_atomic``, and where a folder cannot be made.
    """
    make_folder(path.parent)
    write_atomic(path, text.encode())


def write_with(path: Path, write: Callable[[Path], None]) -> None:
    """Put what ``write`` makes at ``path``, whole or not at all.

    Args:
        path: the file.
        write: gets the path of an empty file beside it, and fills that.

    Raises:
        StudyError: as ``write_atomic``.
    """
    with _told(path):
        path = Path(os.path.realpath(path))
        if path.exists() and not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
            write(path)
            return
        handle, name = tempfile.mkstemp(prefix=_temp_prefix(), dir=path.parent)
        os.close(handle)
        try:
            write(Path(name))
            _sync(Path(name))
            with _lacking():
                os.chmod(name, 0o644)  # mkstemp makes files that only their owner reads; records are to be shared
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        _sync(path.parent)


def write_folder(folder: Path, fill: Callable[[Path], None]) -> bool:
    """Make a folder whole or not at all.

    Args:
        folder: must not be there yet; the one above it is made.
        fill: gets an empty folder beside it, and puts the files in.

    Returns:
        Whether it was made: False where another process has made it meanwhile, which then counts.

    Raises:
        StudyError: it cannot be written, or the disk is full; nothing is left behind.
    """
    make_folder(folder.parent)
    with _told(folder):
        scratch = Path(tempfile.mkdtemp(prefix=_temp_prefix(), dir=folder.parent))
        try:
            fill(scratch)
            for path in (*scratch.iterdir(), scratch):
                _sync(path)
            with _lacking():
                os.chmod(scratch, 0o755)
            try:
                scratch.rename(folder)
            except OSError:
                if not folder.exists():
                    raise
                return False
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        _sync(folder.parent)
        return True


def set_aside(path: Path, why: str) -> Path:
    """Give a file or folder that cannot be used another name beside its own, and warn of it (``SetAside``).

    Args:
        path: what was found.
        why: a sentence, whose full stop is left out: what was expected, and what was found.

    Returns:
        Where it is now.

    Raises:
        StudyError: it cannot be renamed.
    """
    with _told(path):
        n = 1
        while (aside := path.with_name(f"{path.name}.aside-{n}")).exists():
            n += 1
        try:
            path.rename(aside)
        except FileNotFoundError:  # another process has met it, too
            return aside
    warnings.warn(
        f"{why.removesuffix('.')}; it is set aside as {aside.name}, and its work is done again.", SetAside, stacklevel=2
    )
    return aside


def probe(folder: Path) -> None:
    """Make ``folder`` and write a small file into it, so that a bad disk is met before the work, not after.

    Raises:
        StudyError: the folder cannot be made or written to, or the disk is full.
    """
    make_folder(folder)
    trial = folder / f"{_temp_prefix()}probe"
    try:
        write_atomic(trial, b"\0" * 65536)
    finally:
        with contextlib.suppress(OSError):
            trial.unlink(missing_ok=True)


def as_path(given: Any, what: str) -> Path:
    """A path as it was given.

    Args:
        what: what it is the path of, for the sentence.

    Raises:
        StudyError: it is none.
    """
    if not isinstance(given, str | Path) or not str(given):
        found = repr(given) if given in (None, "") else type(given).__name__
        raise StudyError(f"The {what} has no path: expected text or a pathlib.Path, found {found}.")
    return Path(given)


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
        with contextlib.suppress(FileNotFoundError):  # its writer has just finished
            if is_left_behind(path):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()
                removed.append(path)
    return removed


def create(path: Path, data: bytes) -> bool:
    """Make a file, whole or not at all, where there is none of that name yet.

    Returns:
        Whether it was made: False where there is one, which stays as it is.

    Raises:
        StudyError: as ``write_atomic``.
    """
    beside = temporary(path.parent, "new")
    try:
        write_atomic(beside, data)
        with _told(path):
            try:
                os.link(beside, path)
            except FileExistsError:
                return False
            except OSError:  # no links on this file system
                try:
                    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
                except FileExistsError:
                    return False
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
            _sync(path.parent)
            return True
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def temporary(folder: Path, what: str) -> Path:
    """A new name in ``folder``, ending with ``.what``; ``clean`` removes its file once this process is gone."""
    return folder / f"{_temp_prefix()}{secrets.token_hex(4)}.{what}"


def is_left_behind(path: Path) -> bool:
    """Whether a file with a temporary name has lost the process that made it.

    Raises:
        FileNotFoundError: there is none any more.
    """
    found = _TEMP.search(path.name)
    if found is None:
        return False
    if found["host"] == _host():
        return not _alive(int(found["pid"]))
    return time.time() - path.stat().st_mtime > _STALE_AFTER


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """A failure of the file system as one sentence."""
    try:
        yield
    except OSError as error:
        raise StudyError(
            f"Cannot write {path}: expected a folder that is writable and has space, found "
            f"{error.strerror or error}; free some space, mend its permissions, or choose another folder."
        ) from error


@contextlib.contextmanager
def _lacking() -> Iterator[None]:
    """Pass over what a file system does not do."""
    try:
        yield
    except OSError as error:
        if error.errno not in _LACKING:
            raise


def _sync(path: Path) -> None:
    """Ask the disk to hold a file or a folder, where the file system allows it."""
    if os.name == "nt" and path.is_dir():  # a folder cannot be opened for fsync there
        return
    with _lacking():
        handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # it exists and belongs to someone else
    return True


def _temp_prefix() -> str:
    return f".tmp-{_host()}-{os.getpid()}-"


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname()) or "host"
