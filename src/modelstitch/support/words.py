"""What sentences are made of: counts, durations, lists, the name that may be meant, and how two descriptions differ."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_HASH = re.compile(r'"([0-9a-f]{8})[0-9a-f]{24,}"')


def counted(n: int, one: str, many: str = "") -> str:
    """Count in words, "1 cell", "2,000 cells"; ``many`` where an s does not do."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def rough(value: float, digits: int = 4) -> str:
    """Write a number of an unknown size with so many digits at least: "4983", "49.83", "0.01230"."""
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    return f"{value:.{digits}g}" if not -5 < size < 9 else f"{value:,.{max(0, digits - 1 - size)}f}"


def first_of(names: Sequence[str], most: int = 4, between: str = ", ") -> str:
    """Name the first few: "a, b, c, d and 2 more"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return between.join(names[:most]) + more


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them: "40 seconds", "12 minutes", "3.5 hours"."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def near(word: str, known: Iterable[str], *, count: int = 3, alike: float = 0.5) -> list[str]:
    """The known names that are most like a word, the likeliest first; letters may be large or small.

    Args:
        count: so many at most.
        alike: from which share of common letters on, 0 to 1.
    """
    names: dict[str, str] = {}
    for name in known:
        names.setdefault(name.lower(), name)
    return [names[found] for found in difflib.get_close_matches(word.lower(), names, n=count, cutoff=alike)]


def did_you_mean(names: Iterable[str]) -> str:
    """The question that names what may be meant; "" where nothing is near."""
    listed = " or ".join(map(repr, names))
    return f"did you mean {listed}?" if listed else ""


def hint(word: str, known: Iterable[str], otherwise: str = "", *, count: int = 3, alike: float = 0.5) -> str:
    """The end of a sentence about a wrong name: the nearest ones, or where to look.

    Args:
        otherwise: what is said where none is near; the whole list by default.
        count: so many names at most.
        alike: from which share of common letters on, 0 to 1.
    """
    listed = list(known)
    question = did_you_mean(near(word, listed, count=count, alike=alike))
    return question or otherwise or f"expected one of {', '.join(listed)}."


def among(
    word: str, known: Iterable[str], more: str = "", *, lead: str = "expected one of ", quoted: bool = False
) -> str:
    """The end of a sentence about a word that is not of a closed list: the list, and what may be meant.

    Args:
        more: what else may be given, behind the list.
        lead: what stands before the list.
        quoted: names stand in quotation marks.
    """
    names = list(known)
    listed = f"{lead}{', '.join(repr(name) if quoted else name for name in names)}{more}"
    question = did_you_mean(near(word, names))
    return f"{listed}; {question}" if question else f"{listed}."


def some(names: Iterable[str], most: int = 6) -> str:
    """A list for a sentence: all names where they are few, else the first ones and their number."""
    listed = list(names)
    shown = ", ".join(map(repr, listed[:most]))
    return shown if len(listed) <= most else f"{shown}, ... ({len(listed):,} in all)"


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
