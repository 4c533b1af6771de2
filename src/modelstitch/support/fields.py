"""Where two plain descriptions differ, field by field, in words that fit into a sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_HASH = re.compile(r'"([0-9a-f]{8})[0-9a-f]{24,}"')


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested mappings as one, ``{"fit.steps": "10"}``; values are written as JSON."""
    if isinstance(value, Mapping) and value:
        return {k: v for key, part in value.items() for k, v in flat(part, f"{prefix}{key}.").items()}
    return {prefix[:-1]: json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))}


def differing(expected: Any, found: Any, first: Sequence[str] = ()) -> dict[str, tuple[str, str]]:
    """The fields that differ, each with both values, hashes shortened; a field that is not there is "nothing".

    Args:
        first: the fields that matter most, in their order; the others follow by name.
    """
    old, new = flat(expected), flat(found)
    fields = [key for key in old.keys() | new.keys() if old.get(key) != new.get(key)]
    order = {name: at for at, name in enumerate(first)}
    fields.sort(key=lambda key: (order.get(key.partition(".")[0], len(order)), key))
    return {key: (short(old.get(key, "nothing")), short(new.get(key, "nothing"))) for key in fields}


def short(text: str) -> str:
    """A hash by its first eight digits."""
    return _HASH.sub(r"\1...", text)
