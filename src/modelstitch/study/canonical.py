"""The one JSON text that stands for plain values, and the name of a cell that it makes. No torch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import StudyError
from ..support import hashing


def canonical_json(value: Any, *, what: str = "record", indent: int | None = None) -> str:
    """Write ``value`` as the one JSON text that stands for it.

    Args:
        value: mappings with string keys, sequences, strings, numbers, booleans, None.
        what: how an error calls the whole value.
        indent: spaces per level for a file that people read; the order of keys stays the same.

    Raises:
        StudyError: NaN or infinity (the metric is named), or a value that JSON cannot hold.
    """
    separators = (",", ":") if indent is None else None
    try:
        text = json.dumps(
            value, sort_keys=True, allow_nan=False, ensure_ascii=False, indent=indent, separators=separators
        )
        text.encode()  # half a surrogate pair in a name cannot be stored
        return text
    except (TypeError, ValueError) as error:
        for place, leaf in _leaves(value, what):
            if isinstance(leaf, float) and not math.isfinite(leaf):
                raise StudyError(
                    f"The {place} is {leaf}: expected a finite number or null; "
                    "find out where the number was lost before it is stored."
                ) from error
        raise StudyError(f"The {what} cannot be written as JSON: expected plain values, found {error}.") from error


def cell_hash(config: Mapping[str, Any]) -> str:
    """Name of a cell: the first 16 hex digits of the SHA-256 of its config's canonical JSON.

    Raises:
        StudyError: as ``canonical_json``.
    """
    return hashing.of(canonical_json(dict(config), what="config"), digits=16)


def _leaves(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Every scalar with the words for its place: ``metric 'penalty', value``, not ``metrics[3]``."""
    if isinstance(value, Mapping):
        head = f"{place}, metric {value['metric']!r}" if "metric" in value else place
        for key, part in value.items():
            yield from _leaves(part, f"{head}, {key}")
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part, place)
    else:
        yield place, value
