"""Tables of texts: Parquet, CSV, TSV and JSON lines; a column of texts, and one of labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from ...errors import DataError, first_line
from ...support import tables

if TYPE_CHECKING:
    import polars

Labels: TypeAlias = tuple[list[Tensor], list[str] | None]
SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl")


def read_table(path: Path, wanted: Sequence[str]) -> polars.DataFrame:
    """Some columns of a table.

    Raises:
        DataError: if the file cannot be read or a column is missing.
    """
    frame = whole_table(path)
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise DataError(
            f"The table {path.name!r} has no column {missing[0]!r}: found {', '.join(frame.columns)}; choose with "
            "'?column=' and '&label='."
        )
    return frame.select(wanted)


def whole_table(path: Path) -> polars.DataFrame:
    """A table of one of the ``SUFFIXES``.

    Raises:
        DataError: if it cannot be read.
    """
    try:
        return tables.read(path, path.suffix.removeprefix("."))
    except (tables.UnreadableError, OSError) as error:
        raise DataError(f"The table {str(path)!r} cannot be read ({first_line(error)}): check the file.") from error


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


def read_labels(columns: Sequence[tuple[polars.Series, Path]], classes: list[str] | None = None) -> Labels:
    """The labels of every table's column, and the names of the classes where they have any.

    Args:
        columns: integers, or names of classes, each with its file.
        classes: the names in their order; by default, where labels are names, those that occur, sorted.

    Raises:
        DataError: a column holds something else, or gaps; a label is none of the classes.
    """
    import polars

    read = [_checked(values, path) for values, path in columns]
    if classes is None and any(values.dtype == polars.String for values in read):
        read = [values.cast(polars.String) for values in read]
        classes = sorted({name for values in read for name in values})
    number = {name: i for i, name in enumerate(classes or ())}
    return [_numbered(values, number) for values in read], classes


def read_numbers(frame: polars.DataFrame, names: Sequence[str], path: Path) -> Tensor:
    """Columns of numbers as they stand, (n,), or (n, columns) of several.

    Raises:
        DataError: one holds something else, or gaps.
    """
    import polars

    for name in names:
        values = frame[name]
        if values.null_count() or not (values.dtype.is_numeric() or values.dtype == polars.Boolean):
            raise DataError(
                f"The column {name!r} of {path.name} holds {values.dtype} with {values.null_count()} gaps: expected "
                "numbers, as the task needs them."
            )
    found = torch.tensor([frame[name].cast(polars.Float64).to_list() for name in names]).T
    return found[:, 0] if len(names) == 1 else found


def _checked(values: polars.Series, path: Path) -> polars.Series:
    import polars

    if isinstance(values.dtype, polars.Categorical | polars.Enum):
        values = values.cast(polars.String)
    if values.dtype == polars.Boolean:
        values = values.cast(polars.Int64)
    if values.null_count() or not (values.dtype.is_integer() or values.dtype == polars.String):
        raise DataError(
            f"The column {values.name!r} of {path.name} holds {values.dtype} with {values.null_count()} gaps: "
            "expected integers or the names of classes."
        )
    return values


def _numbered(values: polars.Series, number: dict[str, int]) -> Tensor:
    if values.dtype.is_integer():
        return torch.tensor(values.to_list(), dtype=torch.int64)
    unknown = sorted(set(values) - set(number))
    if unknown:
        raise DataError(
            f"The label {unknown[0]!r} is none of the {len(number)} classes: expected one of {', '.join(number)}."
        )
    return torch.tensor([number[value] for value in values], dtype=torch.int64)
