"""Tables of texts: Parquet, CSV, TSV and JSON lines; a column of texts, and one of labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...errors import DataError, first_line
from ...support import tables

if TYPE_CHECKING:
    import polars

SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl")


def read_table(path: Path, column: str, label: str | None) -> polars.DataFrame:
    """The two columns of a table.

    Raises:
        DataError: if the file cannot be read or a column is missing.
    """
    wanted = [column] if label is None else [column, label]
    try:
        frame = tables.read(path, path.suffix.removeprefix("."))
    except (tables.UnreadableError, OSError) as error:
        raise DataError(f"The table {str(path)!r} cannot be read ({first_line(error)}): check the file.") from error
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise DataError(
            f"The table {path.name!r} has no column {missing[0]!r}: found {', '.join(frame.columns)}; choose with "
            "'?column=' and '&label='."
        )
    return frame.select(wanted)


def read_texts(frame: polars.DataFrame, column: str, path: Path) -> list[str]:
    """The texts of a column.

    Raises:
        DataError: if it holds something else, or gaps.
    """
    import polars

    values = frame[column]
    if values.dtype != polars.String or values.null_count():
        raise DataError(
            f"The column {column!r} of {path.name} holds {values.dtype} with {values.null_count()} gaps: expected text."
        )
    return values.to_list()


def read_labels(
    frames: Sequence[polars.DataFrame], label: str | None, paths: Sequence[Path]
) -> tuple[list[Tensor] | None, list[str] | None]:
    """The labels of every table, and the names of the classes where they are words (numbered in their order)."""
    import polars

    if label is None:
        return None, None
    columns = [frame[label] for frame in frames]
    for values, path in zip(columns, paths):
        if values.null_count() or not (values.dtype.is_integer() or values.dtype == polars.String):
            raise DataError(
                f"The column {label!r} of {path.name} holds {values.dtype} with {values.null_count()} gaps: expected "
                "integers or the names of classes."
            )
    if all(values.dtype.is_integer() for values in columns):
        return [torch.tensor(values.to_list(), dtype=torch.int64) for values in columns], None
    names = sorted({str(name) for values in columns for name in values})
    number = {name: i for i, name in enumerate(names)}
    return [torch.tensor([number[str(name)] for name in values]) for values in columns], names
