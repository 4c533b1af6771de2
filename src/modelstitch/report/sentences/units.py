"""How penalties of each unit are judged, drawn and rounded: points of error, and nats per token of language."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class UnitScale:
    """What one unit of the penalty asks for.

    Attributes:
        near: up to it a stitch counts as near 0. Bansal et al. call networks of other seeds "close" up to 3 points of
            error; 0.1 nats per token are 10 % of perplexity.
        far: from it a map counts as far off.
        linear: penalty axes are linear up to it and logarithmic beyond.
        ticks: of penalty axes, from 0 upwards.
        digits: behind the point, in prose and tables.
    """

    near: float
    far: float
    linear: float
    ticks: tuple[float, ...]
    digits: int

    def ticks_within(self, low: float, high: float) -> list[float]:
        """The ticks of both signs that lie on an axis."""
        return [t for t in (*(-t for t in reversed(self.ticks[1:])), *self.ticks) if low <= t <= high]


_POINTS = UnitScale(3.0, 10.0, 5.0, (0, 2, 5, 10, 20, 50, 100), 1)
_SCALES = {"points": _POINTS, "nats/token": UnitScale(0.1, 0.5, 0.5, (0, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20), 2)}


def scale_of(unit: str) -> UnitScale:
    """The scale of a unit; units that are no penalty's are rounded like points."""
    return _SCALES.get(unit, _POINTS)


def judged(unit: str) -> bool:
    """Whether a unit has levels of its own."""
    return unit in _SCALES


def tick(value: float) -> str:
    """A tick's label, with a sign where it is not 0."""
    return (f"{value:+g}" if value else "0").replace("-", "\u2212")


def shown(value: float, low: float | None = None, high: float | None = None, *, unit: str) -> str:
    """A penalty and its interval, signed, with as many digits as tell the interval's ends apart.

    "+0.0014 [+0.0009, +0.0019]".
    """
    spread = high - low if low is not None and high is not None else 0.0
    size = spread or abs(value)
    digits = scale_of(unit).digits
    if size:
        digits = min(max(digits, 1 - math.floor(math.log10(2 * size))), 6)  # a tenth of it or less
    interval = "" if low is None or high is None else f" [{_signed(low, digits)}, {_signed(high, digits)}]"
    return f"{_signed(value, digits)}{interval}"


def _signed(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:+.{digits}f}"  # + 0.0: no "-0.00"
