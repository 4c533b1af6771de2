"""The names that may be meant by a word that is none of them: what every refusal of a name ends with."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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
