"""Files of the processes that are at work in a folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..support.files import is_left_behind, make_folder, temporary, write_atomic


@contextmanager
def working(folder: Path) -> Iterator[Path]:
    """Keep a file of this process in ``folder`` meanwhile; one that is killed leaves it, and counts no longer."""
    make_folder(folder)
    mine = temporary(folder, "running")
    try:
        write_atomic(mine, b"")
        yield mine
    finally:
        with contextlib.suppress(OSError):
            mine.unlink(missing_ok=True)
            folder.rmdir()  # stays where another one is at work


def present(folder: Path) -> list[str]:
    """Names of the files of processes that are at work."""
    if not folder.is_dir():
        return []
    found = []
    for path in sorted(folder.glob(".tmp-*.running")):
        with contextlib.suppress(FileNotFoundError):  # it has just ended
            if not is_left_behind(path):
                found.append(path.name)
    return found
