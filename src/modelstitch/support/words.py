"""Counts and durations as a reader says them."""

from __future__ import annotations

import math
from collections.abc import Sequence


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
