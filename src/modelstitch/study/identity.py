"""Which study a folder is of: the file that says it, and what another study is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RecordError, StudyError
from ..support.hashing import SEAL, canonical_json, sealed, unsealed
from ..support.reading import read_json
from ..support.words import differing

if TYPE_CHECKING:
    from .spec import StudySpec

_FIRST = ("scale", "protocol", "data")  # what a study is first of all
_VERSION = "kept as"  # no key of a spec


def identity_of(spec: StudySpec | Mapping[str, Any]) -> dict[str, Any]:
    """A spec as plain JSON values."""
    plain = dict(spec) if isinstance(spec, Mapping) else spec.identity()
    found: dict[str, Any] = json.loads(canonical_json(plain, what="spec"))
    return found


def with_seal(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values with a digest, and with a mark that they have one: where its name alone is changed, that shows."""
    return sealed({**values, _VERSION: 2})


def read_sealed(path: Path) -> dict[str, Any]:
    """The object in a file of ours, its seal taken off.

    Raises:
        FileNotFoundError: there is none.
        RecordError: it cannot be believed.
    """
    try:
        value = read_json(path)
        if isinstance(value, dict):
            if SEAL not in value and _VERSION not in value:  # of an earlier version: they had neither
                return value
            return {key: part for key, part in unsealed(value).items() if key != _VERSION}
        found = type(value).__name__
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(path) from error
    except (OSError, ValueError) as error:
        found = str(error)
    raise RecordError(
        f"{path} cannot be believed: expected a JSON object as it was written, found {found}; run the study again."
    )


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
