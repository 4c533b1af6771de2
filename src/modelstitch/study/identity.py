"""Which study a folder is of, and which cells it is to have: the files that say it, what another study is told."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RecordError, StudyError
from ..support.files import create, make_folder, set_aside, write_atomic
from ..support.hashing import canonical_json, of_json, sealed, unsealed
from ..support.reading import read_json
from ..support.words import differing

if TYPE_CHECKING:
    from .spec import StudySpec

_FIRST = ("scale", "protocol", "data")  # what a study is first of all
_VERSION, _NOW = "kept as", 2  # no key of a spec; the form that is written, and the only one that is read
NAME = re.compile(r"[0-9a-f]{16}")  # of a cell, and of a part of a plan


def identity_of(spec: StudySpec | Mapping[str, Any]) -> dict[str, Any]:
    """A spec as plain JSON values."""
    plain = dict(spec) if isinstance(spec, Mapping) else spec.identity()
    found: dict[str, Any] = json.loads(canonical_json(plain, what="spec"))
    return found


def with_seal(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values with a digest, and with a mark of their form."""
    return sealed({**values, _VERSION: _NOW})


def read_sealed(path: Path) -> dict[str, Any]:
    """The object in a file of ours, its seal taken off.

    Raises:
        FileNotFoundError: there is none.
        RecordError: it cannot be believed.
    """
    try:
        values = dict(unsealed(read_json(path)))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(path) from error
    except (OSError, ValueError) as error:
        raise RecordError(
            f"{path} cannot be believed: expected a JSON object as it was written, found {error}; run the study again."
        ) from None
    form = values.pop(_VERSION, None)
    if type(form) is not int or form != _NOW:
        raise RecordError(
            f"{path} has a form that this version of modelstitch does not read: expected {_VERSION!r}: {_NOW}, found "
            f"{form!r}; open the folder with the version that wrote it, or run the study again in another folder."
        )
    return values


def refuse_another(saved: dict[str, Any], asked: dict[str, Any], path: Path) -> None:
    """Refuse another study; what is only told (``about``) decides nothing, and stands for its hash."""
    old, new = ({k: v for k, v in spec.items() if k != "about"} for spec in (saved, asked))
    different = differing(old, new, _FIRST)
    if not different:
        return
    named = [key for key in different if key in _FIRST] or list(different)[:1]
    rest = [key for key in different if key not in named]
    more = f" (and {len(rest)} more: {', '.join(rest[:5])})" if rest else ""

    def words(side: int, spec: dict[str, Any]) -> str:
        told = spec.get("about") or {}
        return ", ".join(f"{key} = {_named(different[key][side], told.get(key))}" for key in named)

    drawn = (
        " Where the data are the same they may be random: samples that a dataset draws anew at every read have "
        "another hash each time."
    )
    raise StudyError(
        f"{path} was made by another study: expected {words(0, saved)}, found {words(1, asked)}{more}; choose another "
        f"folder, or set the old value again.{drawn if 'data' in different else ''}"
    )


def _named(value: str, name: str | None) -> str:
    return f"{name} ({value})" if name else value


class FolderIdentity:
    """What the folder of a study says of itself.

    Args:
        path: the folder.
        spec: what the study is; without it the folder says so.

    Attributes:
        spec: as plain JSON values.

    Raises:
        StudyError: no spec is given, and the folder has none.
    """

    def __init__(self, path: Path, spec: StudySpec | Mapping[str, Any] | None = None) -> None:
        self._folder, self._file = path, path / "study.json"
        self._creator = False
        self._seen: bytes | None = None  # study.json as it was last found to be ours
        found = self.saved() if spec is None else identity_of(spec)
        if found is None:
            raise StudyError(
                f"{path} is not a study: expected a folder with study.json, found none; check the path, or run a study "
                "into it first."
            )
        self.spec: dict[str, Any] = found

    def saved(self) -> dict[str, Any] | None:
        """The spec in study.json; None where there is none."""
        try:
            return read_sealed(self._file)
        except FileNotFoundError:
            return None

    def refuse_others(self, *, cells: bool) -> None:
        """Refuse a folder that is not ours, before anything is made in it; ``cells``: it holds some."""
        try:
            saved = self.saved()
        except RecordError as error:
            if not (self._folder / "cells").is_dir():
                raise  # this file is none of ours
            put_aside(self._file, str(error))
            return  # the cells are known by what they are, whatever the file said
        if saved is not None:
            refuse_another(saved, self.spec, self._folder)
        elif cells:
            raise StudyError(
                f"{self._folder} holds cells but no study.json: expected an empty folder or a study, "
                "found records of unknown origin; choose another folder."
            )

    def claim(self) -> None:
        """See that study.json is ours: of two studies that come at once one makes it, and the other is refused."""
        with contextlib.suppress(OSError):
            if self._seen is not None and self._file.read_bytes() == self._seen:
                return
        text = (canonical_json(with_seal(self.spec), what="spec", indent=2) + "\n").encode()
        if create(self._file, text):
            self._creator, self._seen = True, text
            return
        saved = self.saved()
        if saved is None:
            self.claim()  # its creator has just taken it away
            return
        refuse_another(saved, self.spec, self._folder)
        self._seen = self._file.read_bytes()

    def take_back(self) -> None:
        """Leave the folder to any study, if it is this process that made study.json."""
        if self._creator:
            for path in (self._file, *self.plans()):
                path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                (self._folder / "planned").rmdir()

    def plan(self, cells: Sequence[str], part: str | None) -> None:
        """Write down which cells the study is to have, or a part of it by its name."""
        path = self._folder / "planned.json"
        if part is not None:
            make_folder(self._folder / "planned")
            path = self._folder / "planned" / f"{name_of(part)}.json"
        text = canonical_json(with_seal({"cells": list(cells), "study": self._hash()})).encode()
        with contextlib.suppress(OSError):
            if path.read_bytes() == text:
                return
        write_atomic(path, text)

    def plans(self) -> list[Path]:
        """The files of the plan; names of any other form are of other programs."""
        whole, folder = self._folder / "planned.json", self._folder / "planned"
        parts = sorted(folder.iterdir()) if folder.is_dir() else []
        named = (path for path in parts if path.suffix == ".json" and NAME.fullmatch(path.stem))
        return [*([whole] if whole.exists() else []), *named]

    def planned(self) -> list[str] | None:
        """Which cells the study is to have; None where no plan was written down."""
        found = [cells for path in self.plans() if (cells := self._cells_of(path)) is not None]
        return list(dict.fromkeys(cell for cells in found for cell in cells)) if found else None

    def _cells_of(self, path: Path) -> list[str] | None:
        """The cells of one file of the plan; None where it has just gone."""
        try:
            found = read_sealed(path)
        except FileNotFoundError:
            return None
        cells = found.get("cells")
        if not isinstance(cells, list) or not all(isinstance(c, str) and NAME.fullmatch(c) for c in cells):
            raise StudyError(
                f"{path} cannot be read: expected a list of cells; run the study again, which writes it anew."
            )
        if found.get("study") != self._hash():
            raise StudyError(
                f"{path} is the plan of another study: expected that of study.json beside it; run the study again, "
                f"which writes both."
            )
        return cells

    def _hash(self) -> str:
        """What the study is, as a hash: what is only told does not count."""
        return of_json({key: value for key, value in self.spec.items() if key != "about"})


def name_of(part: str) -> str:
    """The name that the file of a part's plan has."""
    return of_json(part)[:16]


def put_aside(path: Path, why: str) -> Path | None:
    """Set a file aside; None where another run has just done so."""
    try:
        return set_aside(path, f"{path} is not believed: {why}")
    except StudyError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
