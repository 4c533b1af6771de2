"""What stands behind ``?`` in the name of data: ``name=value&name=value``."""

from __future__ import annotations

from collections.abc import Sequence

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
