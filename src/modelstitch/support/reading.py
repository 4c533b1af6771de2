"""JSON and TOML as values: bounded in size, depth and numbers, so that what follows may walk through them freely."""

from __future__ import annotations

import inspect
import json
import math
import re
import tomllib
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from stat import S_ISREG
from typing import Any, NoReturn, ParamSpec, TypeVar

from ..errors import StitchError, first_line

P = ParamSpec("P")
T = TypeVar("T")

DEPTH, PARTS = 64, 16  # brackets within brackets; parts of a dotted key
_TEXT = 1 << 18  # characters of a file that people write
_JSON = 1 << 30  # bytes of one that programs write
_WHOLE = 2**63  # numbers of people and of tensors lie below
_NAME = 10_000  # characters
# One pass, whatever the text: a string that does not end goes on to the end of the line, or of the text.
_STRINGS = re.compile(r'"(?:[^"\\\n]|\\.)*+"?|\'[^\'\n]*+\'?')
_JSON_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_COMMENT = re.compile(r"#[^\n]*")
_BRACKETS = re.compile(r"[\[\]{}]")


class UnfitError(ValueError):
    """A text that is no such file, or whose values no reader should have to bear."""


def read_json(path: Path) -> Any:
    """The values of a JSON file.

    Raises:
        UnfitError: it is no JSON, or beyond the bounds.
        OSError: it cannot be read.
    """
    _check_file(path, _JSON)
    return json_of(path.read_bytes())


def json_of(text: str | bytes, *, strict: bool = False) -> Any:
    """The values of a JSON text, as ``read_json``.

    Args:
        strict: refuse NaN, infinities, and whole numbers of more than 64 bits.

    Raises:
        UnfitError: it is no JSON, or beyond the bounds.
    """
    try:
        text = text if isinstance(text, str) else text.decode()
        if text.count("[") + text.count("{") > DEPTH:
            _check_depth(_JSON_STRINGS.sub("", text))
        if not strict:
            return json.loads(text)
        return json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=_refused)
    except UnfitError:
        raise
    except (ValueError, RecursionError) as error:
        raise UnfitError(str(error)) from error


def read_toml(path: Path) -> dict[str, Any]:
    """The values of a TOML file.

    Raises:
        UnfitError: it is no TOML, or beyond the bounds.
        OSError: it cannot be read.
    """
    _check_file(path, _TEXT)
    try:
        text = path.read_bytes().decode()
        bare = _COMMENT.sub("", _STRINGS.sub("s", text))
        _check_depth(bare)
        if any(line.count(".") >= PARTS for line in re.split(r"[\n,={}]", bare)):
            raise UnfitError(f"a key of more than {PARTS} parts")
        values = tomllib.loads(text)
        _check_values(values)
        return values
    except UnfitError:
        raise
    except (ValueError, RecursionError) as error:
        raise UnfitError(str(error)) from error


def told(kind: type[StitchError]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """What is no name, and what the file system says of one, as an error of ours: for readers whose first it is."""

    def decorate(reader: Callable[P, T]) -> Callable[P, T]:
        first = next(iter(inspect.signature(reader).parameters))

        @wraps(reader)
        def read(*args: P.args, **kwargs: P.kwargs) -> T:
            given = args[0] if args else kwargs.get(first, "")
            if not isinstance(given, str | Path):
                raise kind(
                    f"{reader.__name__} takes a name first: expected text or a path, found "
                    f"{'None' if given is None else type(given).__name__}."
                )
            try:
                return reader(*args, **kwargs)
            except (OSError, ValueError) as error:
                if isinstance(error, ValueError) and "null byte" not in str(error):
                    raise
                name = str(given)
                raise kind(
                    f"{name[:200]!r} cannot be read ({getattr(error, 'strerror', None) or first_line(error)}): "
                    f"check the name, and that you may read it."
                ) from error

        return read

    return decorate


def _check_file(path: Path, most: int) -> None:
    """Before anything is read: a pipe may never give a byte, and a device never end."""
    about = path.stat()
    if not S_ISREG(about.st_mode):
        raise UnfitError("no file, but a folder or a device")
    if about.st_size > most:
        raise UnfitError(f"a file of {about.st_size:,} bytes, more than {most:,}")


def _check_depth(bare: str) -> None:
    depth = 0
    for found in _BRACKETS.finditer(bare):
        depth += 1 if found[0] in "[{" else -1
        if depth > DEPTH:
            raise UnfitError(f"brackets nested more than {DEPTH} deep")


def _check_values(values: Any) -> None:
    """Refuse depth, numbers and names that no spec has; without recursion."""
    left = [(values, 0)]
    while left:
        value, depth = left.pop()
        if depth > DEPTH:
            raise UnfitError(f"values nested more than {DEPTH} deep")
        if isinstance(value, dict):
            for key in value:
                if len(key) > _NAME:
                    raise UnfitError(f"a key of {len(key):,} characters, {key[:20]!r}...")
            left += [(part, depth + 1) for part in value.values()]
        elif isinstance(value, list):
            left += [(part, depth + 1) for part in value]
        elif isinstance(value, int) and not -_WHOLE <= value < _WHOLE:
            raise UnfitError("a whole number of more than 63 bits")
        elif isinstance(value, str) and len(value) > _NAME:
            raise UnfitError(f"a text of {len(value):,} characters, {value[:20]!r}...")


def _whole(text: str) -> int:
    if len(text) > 20 or not -_WHOLE <= (value := int(text)) < 2 * _WHOLE:  # seeds of 64 bits have no sign
        raise UnfitError("a whole number of more than 64 bits")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise UnfitError(f"the number {text[:20]}, which is not finite")
    return value


def _refused(text: str) -> NoReturn:
    raise UnfitError(f"the number {text}, which is not finite")
