"""What stands behind ``?`` in the name of data: ``name=value&name=value``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...errors import DataError


def parted(spec: str, known: Sequence[str], what: str) -> tuple[str, dict[str, str]]:
    """Take ``PLACE?name=value&name=value`` apart.

    Args:
        spec: the name.
        known: the options that there are.
        what: how a message calls the data.

    Returns:
        The place, and the options by name.

    Raises:
        DataError: naming the first option that cannot be read, or is not known.
    """
    place, _, query = spec.partition("?")
    found: dict[str, str] = {}
    for item in filter(None, query.split("&")):
        key, equals, value = item.partition("=")
        if not equals or not value:
            raise DataError(f"The {what} option {item!r} cannot be read: expected 'name=value'.")
        if key not in known:
            raise DataError(f"The {what} option {key!r} is unknown: expected {', '.join(known[:-1])} or {known[-1]}.")
        found[key] = value
    return place, found


def need_folder(place: str | Path, expected: str) -> None:
    """Refuse a path that is no folder.

    Raises:
        DataError: it is a file, or nothing is there.
    """
    if Path(place).is_dir():
        return
    if Path(place).exists():
        raise DataError(f"{str(place)!r} is a file: expected a folder, {expected}; name the folder that it lies in.")
    raise DataError(f"There is no folder {str(place)!r}: expected one {expected}.")
