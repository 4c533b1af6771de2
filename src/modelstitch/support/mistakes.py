"""What is wrong with a checked value, in one sentence.

The first mistake, what was expected, what was found, how many more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from pydantic import ValidationError

from .words import did_you_mean
from .words import near as alike

_MOST = 20  # looking for a near name takes its time


def sentence(
    error: ValidationError,
    known: Callable[[tuple[int | str, ...]], Collection[str]],
    *,
    where: str = "",
    called: Mapping[str, str] | None = None,
) -> str:
    """The first mistake of several, in words.

    Args:
        error: as pydantic raises it.
        known: the names that may stand at a place.
        where: the file that the values are from; "" where they are keywords.
        called: keywords by the fields that they set, where these have other names.
    """
    problems = error.errors(include_url=False)
    first = next((p for p in problems[:_MOST] if p["type"] == "extra_forbidden" and near(p["loc"], known)), problems[0])
    more = f" ({len(problems) - 1} more after it)" if problems[1:] else ""
    place = ".".join(map(str, first["loc"])) if where else _keyword(first["loc"], called or {})
    if first["type"] == "extra_forbidden" and not where:
        return unknown(place, known(first["loc"]))
    if first["type"] == "extra_forbidden":
        return f"{where}: {place} is unknown{more}; {hint(place, first['loc'], known)}"
    if first["type"] == "missing":
        return f"{where}: {place} is missing{more}; expected it to be set."
    expected = str(first["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    found = f", found {_shortened(first['input'])}" if place else ""  # of the whole the sentence says it itself
    if where:
        return f"{where}: {f'{place}: ' if place else ''}expected {expected}{found}{more}."
    return (
        f"The option {place!r} is wrong: expected {expected}{found}."
        if place
        else f"This cannot be asked: expected {expected}."
    )


def _keyword(place: tuple[int | str, ...], called: Mapping[str, str]) -> str:
    """The keyword of a place, whatever it is checked as; "" for the whole."""
    parts = [part for part in place if isinstance(part, str) and part != "fit"]
    return called.get(parts[0], parts[0]) if parts else ""


def unknown(name: str, known: Collection[str]) -> str:
    """That there is no option of that name, and which one may be meant."""
    return f"There is no option {name!r}: {hint(name, (name,), lambda _: known)}"


def hint(name: str, place: tuple[int | str, ...], known: Callable[[tuple[int | str, ...]], Collection[str]]) -> str:
    """The nearest name, or all of them."""
    close = near(place, known)
    return did_you_mean(close) or f"known are {', '.join(known(place))}."


def near(place: tuple[int | str, ...], known: Callable[[tuple[int | str, ...]], Collection[str]]) -> list[str]:
    """The name that may be meant at a place, if one is near."""
    return alike(str(place[-1]), known(place), count=1, alike=0.6)


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
