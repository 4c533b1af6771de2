"""How penalties of each unit are judged, drawn and rounded: points of error, nats per token, and any other unit."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ...stats.chance import FAR


@dataclass(frozen=True)
class UnitScale:
    """What one unit of the penalty asks for.

    Attributes:
        near: up to it a stitch counts as near 0. Bansal et al. call networks of other seeds "close" up to 3 points of
            error; 0.1 nats per token are 10 % of perplexity. 0: nothing is judged so.
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
        found = [t for t in (*(-t for t in reversed(self.ticks[1:])), *self.ticks) if low <= t <= high]
        return found if len(found) <= _MOST_TICKS else [t for t in found if t == 0 or _round(abs(t))]

    @classmethod
    def around(cls, near: float) -> UnitScale:
        """The scale of a unit in which ``near`` is as much as 3 points are in percent."""
        size = math.floor(math.log10(near))
        near, far, linear = (
            round(share * near, 1 - math.floor(math.log10(share * near))) for share in (1, 10 / 3, 5 / 3)
        )
        steps = (float(f"{step}e{power}") for power in range(size - 1, size + 8) for step in (1, 2, 5))
        return cls(near, far, linear, (0.0, *(step for step in steps if step >= near / 2)), max(0, min(8, 1 - size)))


_MOST_TICKS = 13


def _round(value: float) -> bool:
    """Whether a number is a power of ten."""
    power = math.log10(value)
    return abs(power - round(power)) < 1e-9


_POINTS = UnitScale(3.0, FAR["points"], 5.0, (0, 2, 5, 10, 20, 50, 100), 1)
_NATS = UnitScale(0.1, FAR["nats/token"], 0.5, (0, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20), 2)
_OTHER = replace(_POINTS, near=0.0, far=0.0)


def scale_of(unit: str) -> UnitScale:
    """Find how values of a unit are judged and rounded.

    Points, also of something, and nats are; others are rounded like points, not judged.

    Args:
        unit: such as "points".

    Returns:
        The scale.

    Examples:
        >>> ms.report.scale_of("points") == ms.report.scale_of("points of recall@1")
        True
    """
    return _NATS if unit == "nats/token" else _POINTS if unit.partition(" ")[0] == "points" else _OTHER


def tick(value: float) -> str:
    """A tick's label, with a sign where it is not 0."""
    return (f"{value:+.12g}" if value else "0").replace("-", "\u2212")


def shown(value: float, low: float | None = None, high: float | None = None, *, unit: str) -> str:
    """A penalty and its interval, signed, with as many digits as tell the interval's ends apart.

    "+0.0014 [+0.0009, +0.0019]".
    """
    spread = high - low if low is not None and high is not None else 0.0
    size = spread or abs(value)
    digits = scale_of(unit).digits
    if max(abs(end) for end in (value, low, high) if end is not None) >= 5e-7:  # else all shown digits are 0
        digits = min(max(digits, 1 - math.floor(math.log10(2 * size))), 6)  # a tenth of it or less
    interval = "" if low is None or high is None else f" [{_signed(low, digits)}, {_signed(high, digits)}]"
    return f"{_signed(value, digits)}{interval}"


def _signed(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:+.{digits}f}"  # + 0.0: no "-0.00"
