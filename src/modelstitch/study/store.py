"""The store of a study: one JSON file per finished cell, and the spec they were made from.

    DIR/study.json            the spec; another spec may not write here
    DIR/cells/<hash>.json     one record, written whole or not at all
    DIR/planned.json          the hashes of all cells that the study is to have

A killed run loses no finished cell: what is in ``cells`` is complete.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..differing import differing
from ..errors import StudyError
from ..support.files import clean, is_temporary, probe, write_atomic
from ..support.reading import read_json
from .canonical import Record, canonical_json, cell_hash, equal_results
from .parquet import records_from_parquet, records_to_parquet
from .spec import StudySpec

__all__ = [
    "VERSION",
    "Record",
    "Store",
    "canonical_json",
    "cell_hash",
    "check_record",
    "equal_results",
    "records_from_parquet",
    "records_to_parquet",
]

VERSION = 1

_FIRST = ("scale", "protocol", "data")  # what a study is first of all

_NAME = re.compile(r"[0-9a-f]{16}")
_PARTS: dict[str, type] = {"cell": str, "config": dict, "metrics": list, "provenance": dict}


class Store:
    """The folder of one study.

    Args:
        path: the folder.
        spec: what the study is. With it the folder is made if needed, tried for writing, and freed of temp
            files of killed runs. Without it the folder must hold a study already. A part ``about`` is no part of what
            the study is: it names, for a reader, what stands as a hash elsewhere.

    Attributes:
        path: the folder.
        spec: the spec as plain JSON values, as saved in ``study.json``.

    Raises:
        StudyError: the folder holds another study (the differing key and both values are named), holds none
            and no spec was given, cannot be written to, or is full.
    """

    def __init__(self, path: str | Path, spec: StudySpec | Mapping[str, Any] | None = None) -> None:
        self.path = Path(path)
        self._cells = self.path / "cells"
        saved = _read_json(self.path / "study.json") if (self.path / "study.json").is_file() else None
        if spec is None:
            if saved is None:
                raise StudyError(
                    f"{self.path} is not a study: expected a folder with study.json, found none; "
                    "check the path, or run a study into it first."
                )
            self.spec: dict[str, Any] = saved
            return
        plain = spec.identity() if isinstance(spec, StudySpec) else dict(spec)
        text = canonical_json(plain, what="spec", indent=2)
        self.spec = json.loads(text)
        if saved is not None:
            _compare(saved, self.spec, self.path)
        elif not self._empty():
            raise StudyError(
                f"{self.path} holds cells but no study.json: expected an empty folder or a study, "
                "found records of unknown origin; choose another folder."
            )
        probe(self.path)
        probe(self._cells)
        clean(self.path)
        clean(self._cells)
        if (self.path / "unfinished").is_dir():
            clean(self.path / "unfinished")
        if saved is None:
            write_atomic(self.path / "study.json", (text + "\n").encode())

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Around a run: one that fails before it has a cell, a donor or the state of a fit leaves the folder to any study."""
        try:
            yield
        except BaseException:
            donors = self.path / "donors"
            begun = (self.path / "unfinished").is_dir() or (donors.is_dir() and any(donors.iterdir()))
            if self._empty() and not begun:
                for name in ("study.json", "planned.json"):
                    (self.path / name).unlink(missing_ok=True)
            raise

    def _empty(self) -> bool:
        return not self._cells.is_dir() or all(is_temporary(path) for path in self._cells.iterdir())

    def plan(self, cells: Sequence[str]) -> None:
        """Write down which cells the study is to have."""
        write_atomic(self.path / "planned.json", canonical_json({"cells": list(cells)}).encode())

    def missing(self) -> int:
        """How many planned cells are not finished; 0 where no plan was written down."""
        if not (self.path / "planned.json").is_file():
            return 0
        return sum(not self.has(cell) for cell in _read_json(self.path / "planned.json").get("cells", []))

    def has(self, cell: str) -> bool:
        """Whether the cell of that hash is finished."""
        return self._file(cell).is_file()

    def read(self, cell: str) -> Record:
        """The record of one finished cell.

        Raises:
            StudyError: the cell is not finished, or its file is corrupt or belongs to another cell.
        """
        path = self._file(cell)
        if not path.is_file():
            raise StudyError(f"The cell {cell} is not in {self.path}: expected a finished cell, found no file.")
        record = _read_json(path)
        check_record(record, path)
        if record["cell"] != cell:
            raise StudyError(
                f"{path} is foreign: expected the cell {cell}, found the cell {record['cell']}; "
                "move the file away, and the cell is run again."
            )
        return record

    def write(self, record: Record) -> None:
        """Keep the record of a finished cell, whole or not at all.

        Raises:
            StudyError: the record is incomplete, holds NaN (the metric is named), or cannot be written.
        """
        check_record(record, "The record")
        text = canonical_json(record)
        write_atomic(self._file(record["cell"]), text.encode())

    def records(self) -> list[Record]:
        """All finished cells, in the order of their hashes.

        Raises:
            StudyError: a file in ``cells`` is corrupt or foreign; it is named. Temp files are passed over.
        """
        if not self._cells.is_dir():
            return []
        found = []
        for path in sorted(self._cells.iterdir()):
            if is_temporary(path):
                continue
            if path.suffix != ".json" or not _NAME.fullmatch(path.stem):
                raise StudyError(
                    f"{path} is foreign: expected only files named <hash>.json, found {path.name!r}; move it away."
                )
            found.append(self.read(path.stem))
        return found

    def export(self, path: str | Path) -> None:
        """Write all records into one Parquet file (read back by :func:`records_from_parquet`).

        Raises:
            StudyError: no cell is finished, a file in the store is corrupt, or the target cannot be written.
        """
        records_to_parquet(self.records(), path)

    def _file(self, cell: str) -> Path:
        if not _NAME.fullmatch(cell):
            raise StudyError(f"{cell!r} names no cell: expected 16 hex digits.")
        return self._cells / f"{cell}.json"


def check_record(record: Any, where: str | Path) -> None:
    """Refuse what is not a whole record of this version.

    Raises:
        StudyError: naming ``where`` and the part that is missing or of the wrong kind.
    """
    if not isinstance(record, dict) or record.get("version") != VERSION:
        found = record.get("version") if isinstance(record, dict) else type(record).__name__
        raise StudyError(f"{where} is not a record of version {VERSION}: found {found!r}; move it away.")
    for part, kind in _PARTS.items():
        if not isinstance(record.get(part), kind):
            raise StudyError(
                f"{where} is not a whole record: expected {part!r} as {kind.__name__}, "
                f"found {type(record.get(part)).__name__}; move it away, and the cell is run again."
            )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = read_json(path)
    except (OSError, ValueError) as error:
        raise StudyError(
            f"{path} cannot be read: expected JSON, found {error}; move it away, and what it held is run again."
        ) from error
    if not isinstance(value, dict):
        raise StudyError(f"{path} cannot be read: expected a JSON object, found {type(value).__name__}.")
    return value


def _compare(saved: dict[str, Any], asked: dict[str, Any], path: Path) -> None:
    """Refuse another study; what is only told (``about``) decides nothing, and stands for its hash."""
    told = [spec.get("about") or {} for spec in (saved, asked)]
    old, new = ({k: v for k, v in spec.items() if k != "about"} for spec in (saved, asked))
    different = differing(old, new, _FIRST)
    if not different:
        return
    named = [key for key in different if key in _FIRST] or list(different)[:1]
    rest = [key for key in different if key not in named]
    more = f" (and {len(rest)} more: {', '.join(rest[:5])})" if rest else ""
    expected, found = (
        ", ".join(f"{key} = {_named(different[key][side], told[side].get(key))}" for key in named) for side in (0, 1)
    )
    raise StudyError(
        f"{path} was made by another study: expected {expected}, found {found}{more}; choose another folder, or set the old "
        "value again."
    )


def _named(value: str, name: str | None) -> str:
    return f"{name} ({value})" if name else value
