"""What the numbers of a record must be, from the answers that it keeps, example by example. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..errors import RecordError
from .answers import NATS, average, check_sizes, numbers, right

BITS = 1e-9  # what a mean of bits may be off by, and an interval be narrower than its value
_NATS = 2e-5  # what a mean of float32 numbers may be off by, of their size and one nat
_FLOATS = 2e-6  # the same of other errors, of their size alone
_LEAST = 1e-37  # below which float32 has no digits


class Told(NamedTuple):
    """What a number must be, how far off it may be, and what says so."""

    value: float
    room: float
    source: str


def told_by_answers(
    values: Mapping[str, float | None], kept: Mapping[str, Any] | None, correct: str | None
) -> dict[str, Told]:
    """What penalty and errors must be, from the answers that a record keeps, and from each other.

    Args:
        values: the metrics by name.
        kept: the examples of the record.
        correct: the packed right answers that it also keeps.

    Raises:
        RecordError: the answers cannot be read, or contradict each other.
    """
    found: dict[str, Told] = {}
    error, top = values.get("error"), values.get("top_error")
    if error is not None and top is not None:
        found["penalty"] = Told(error - top, _NATS * (1 + abs(error) + abs(top)), "the errors give")
    if kept is None:
        return found
    try:
        errors, room, below = (_right if kept["unit"] == "points" else _floats)(kept)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as problem:
        raise RecordError(f"expected the examples to be readable, found {problem!r}") from problem
    if correct and kept["unit"] == "points" and correct != kept["stitched"]:
        raise RecordError("expected the same right answers in correct and in examples, found others")
    says = "the kept answers give"
    found["penalty"] = Told(errors["stitched"] - errors["top"], 2 * room, says)
    found |= {"error": Told(errors["stitched"], room, says), "top_error": Told(errors["top"], room, says)}
    if below is not None:
        found["bottom_error"] = Told(below, room, says)
    return found


def _right(kept: Mapping[str, Any]) -> tuple[dict[str, float], float, float | None]:
    """The errors that kept bits give, how far off they may be, and the bottom's where its answers are kept."""
    n = kept["n"]
    counts = {side: right(kept[side], n) for side in ("stitched", "top")}
    below = check_sizes(kept["answers"], n, counts) if "answers" in kept else None
    errors = {side: 100.0 * (1 - count / n) for side, count in counts.items()}
    return errors, 100 * BITS, None if below is None else 100.0 * (1 - below / n)


def _floats(kept: Mapping[str, Any]) -> tuple[dict[str, float], float, float | None]:
    """The same of kept numbers; a bottom's are not kept."""
    n = kept["n"]
    weights, each = numbers(kept["weights"], n), {side: numbers(kept[side], n) for side in ("stitched", "top")}
    errors = {side: average(values, weights) for side, values in each.items()}
    if "answers" in kept:
        check_sizes(kept["answers"], n, None, int(weights.sum()))
    if kept["unit"] == NATS:
        return errors, _NATS * (1 + sum(abs(e) for e in errors.values())), None
    return errors, _FLOATS * sum(average(abs(values), weights) for values in each.values()) + _LEAST, None
