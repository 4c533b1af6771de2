"""Records as a Parquet table, one row a record, so that figures can be redrawn without training anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from ..errors import RecordError, StudyError
from ..support import tables
from ..support.hashing import canonical_json
from ..support.reading import json_of
from ..support.words import some
from .record import Record, as_records, check

_JSON = ("config", "metrics", "notes", "provenance")
_PLAIN = ("cell", "correct")
_KNOWN = {"version", *_PLAIN, *_JSON}
_SCHEMA = {
    "version": pl.Int64,
    **dict.fromkeys(_PLAIN, pl.String),
    **dict.fromkeys(_JSON, pl.String),
    "more": pl.String,
}


def records_to_parquet(records: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Write records as rows; nested parts are JSON columns, keys this version does not know go to ``more``.

    Raises:
        StudyError: there is nothing to write, a record holds NaN, or the folder cannot be written to.
    """
    if not records:
        raise StudyError(f"There is nothing to export to {path}: expected finished cells, found none; run the study.")
    rows = [
        {
            "version": plain["version"],
            **{key: plain.get(key) for key in _PLAIN},
            **{key: canonical_json(plain.get(key), what=key) for key in _JSON},
            "more": canonical_json({k: v for k, v in plain.items() if k not in _KNOWN}),
        }
        for plain in (record.plain() for record in as_records(records))
    ]
    tables.write(pl.DataFrame(rows, schema=_SCHEMA), Path(path))


def records_from_parquet(path: str | Path) -> list[Record]:
    """Read back what ``records_to_parquet`` wrote: the same records, in the same order.

    Raises:
        StudyError: the file is missing, is no Parquet file, holds no records, or rows changed since it was written.
    """
    return records_of(read_table(path), path)


def read_table(path: str | Path) -> pl.DataFrame:
    """The table in a file, whatever it holds.

    Raises:
        StudyError: the file is missing, or is no Parquet file.
    """
    try:
        return tables.read(Path(path), "parquet")
    except (OSError, tables.UnreadableError) as error:
        raise StudyError(f"Cannot read {path}: expected a Parquet file of records, found {error}.") from error


def records_of(table: pl.DataFrame, path: str | Path) -> list[Record]:
    """The records of a table that was read.

    Raises:
        StudyError: it holds no records, or rows changed since it was written.
    """
    missing = [name for name in _SCHEMA if name not in table.columns]
    if missing:
        raise StudyError(
            f"{path} is not a table of records: expected the columns {', '.join(_SCHEMA)}, "
            f"found none named {', '.join(missing)}; it has {some(table.columns)}; export the study again."
        )
    foreign = [name for name in table.columns if name not in (*_SCHEMA, tables.DIGEST)]
    if foreign:
        raise StudyError(
            f"{path} is not a table of records: expected the columns {', '.join(_SCHEMA)}, found another, "
            f"{foreign[0]}, too; export the study again."
        )
    rows = table.select(list(_SCHEMA))
    if (found := dict(rows.schema)) != _SCHEMA:
        name = next(name for name, kind in _SCHEMA.items() if found[name] != kind)
        raise StudyError(
            f"{path} is not a table of records: expected {name} as {_SCHEMA[name]}, found {found[name]}; export the "
            f"study again."
        )
    if tables.DIGEST in table.columns and table[tables.DIGEST].to_list() != [tables.digest(rows)] * len(rows):
        raise StudyError(
            f"The rows of {path} changed since they were written: expected those of its digest; export the study "
            f"again, or leave out the column {tables.DIGEST!r} of a table that you changed on purpose."
        )
    return [_record(row, path) for row in rows.iter_rows(named=True)]


def _record(row: dict[str, Any], path: str | Path) -> Record:
    try:
        nested = {key: json_of(row[key]) for key in _JSON}
        more = json_of(row["more"])
        plain = {key: row[key] for key in _PLAIN}
        present = {k: v for k, v in {**plain, **nested}.items() if v is not None}
        record = Record.of({"version": row["version"], **present, **more})
        check(record)
    except (AttributeError, TypeError, ValueError, RecordError) as error:
        raise StudyError(
            f"{path} holds a broken row for the cell {row['cell']!r}: {error}; export the study again."
        ) from error
    return record
