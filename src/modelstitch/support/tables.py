"""Tables of others: tried in a process of its own first, since a broken one can end the process that reads it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import first_line
from .files import make_folder, write_atomic
from .hashing import of_file, of_json
from .memory import available_bytes

if TYPE_CHECKING:
    import polars

DIGEST = "table"  # the column with a digest of all rows, in each of them
_FLOOR, _TIMES = 2 << 30, 64  # bytes that any table may take, and how often its size
_SECONDS, _SPEED = 2, 5_000_000  # of computing, and bytes a second beside
_tried: dict[tuple[str, ...], str] = {}


class UnreadableError(ValueError):
    """A table that cannot be read, and why."""


def write(table: polars.DataFrame, path: Path) -> None:
    """Write a Parquet file; the column ``table`` holds a digest of all rows: one that changes, goes or comes is seen.

    Raises:
        StudyError: the file cannot be written.
    """
    import polars

    content = io.BytesIO()
    table.with_columns(polars.lit(digest(table)).alias(DIGEST)).write_parquet(content)
    make_folder(path.parent)
    write_atomic(path, content.getvalue())


def digest(table: polars.DataFrame) -> str:
    """A digest of the names of the columns and of all rows."""
    return of_json([table.columns, *table.iter_rows()])


def read(path: Path, how: str, *, wanted: Sequence[str] = (), n_rows: int | None = None) -> polars.DataFrame:
    """A table, tried in a process of its own first; equal content is tried once.

    Args:
        path: the file.
        how: "parquet", "csv", "tsv" or "jsonl".
        wanted: names of columns: of a Parquet file those alone are read, all where it has none of them.
        n_rows: of a Parquet file, at most; all by default.

    Raises:
        UnreadableError: the file is broken, or takes more memory or time than its size allows.
        OSError: it cannot be opened.
    """
    import polars

    if path.exists() and not path.is_file():
        raise UnreadableError("it is no file")  # a pipe would never end
    ask = {"path": str(path.absolute()), "how": how, "wanted": list(wanted), "n_rows": n_rows}
    key = (of_file(path), json.dumps({**ask, "path": ""}))
    if key not in _tried:
        _tried[key] = _trial(ask, path.stat().st_size)
    if _tried[key]:
        raise UnreadableError(_tried[key])
    try:
        if how == "parquet":
            columns = [name for name in polars.read_parquet_schema(path) if name in wanted]
            return polars.read_parquet(path, columns=columns or None, n_rows=n_rows)
        if how == "jsonl":
            return polars.read_ndjson(path)
        return polars.read_csv(path, separator="\t" if how == "tsv" else ",")
    except polars.exceptions.PolarsError as error:
        raise UnreadableError(first_line(error)) from error


def _trial(ask: dict[str, Any], size: int) -> str:
    """Why a table cannot be read; "" where it can."""
    import polars

    seconds = _SECONDS + size // _SPEED
    given = {
        "polars": str(Path(polars.__file__).parents[1]),
        "memory": _memory(size),
        "seconds": seconds,
        "read": ask,
    }
    words = [sys.executable, "-I", str(Path(__file__).with_name("trial.py")), json.dumps(given)]
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=60 + 4 * seconds,
            env={**os.environ, "POLARS_MAX_THREADS": "1"},
        )
    except subprocess.TimeoutExpired:
        return "reading it takes too long"
    except OSError:  # no process may be started here: the file is read as it is
        return ""
    try:
        return str(json.loads(done.stdout).get("error", ""))
    except ValueError:
        return "its reader ended at it: it is broken, or unpacks to far more than its size"


def _memory(size: int) -> int:
    """Bytes that a table of this size may take: half of what is free, at most."""
    free = available_bytes()
    asked = max(_FLOOR, _TIMES * size)
    return asked if free is None else min(asked, free // 2)
