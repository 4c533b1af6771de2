"""One sentence on a page, and how values and places are said in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ..figures.style import number, plain
from ..frame import Point, SeamMeans

RemarkKind = Literal["finding", "contrary", "open", "warning", "gap"]


@dataclass(frozen=True)
class Remark:
    """One sentence.

    Attributes:
        kind: ``finding`` (the expected picture), ``contrary`` (it is not met), ``open`` (the intervals do not
            tell), ``warning`` (a low penalty that is no evidence), ``gap`` (a control is missing).
        text: plain text; names in it are untrusted.
    """

    kind: RemarkKind
    text: str


def amount(point: Point, digits: int | None = None, *, bare: bool = False) -> str:
    """Say a value with its interval; of a fit that failed, that it did.

    Args:
        point: the value.
        digits: behind the point; by default as the unit asks.
        bare: as in a table: without the unit, signs for points alone, and no word on an interval that is missing.

    Returns:
        The text, with true minus signs.

    Examples:
        >>> point = ms.report.Point.of("layer2", 0.5, "layer2", 2.25, 1.0, 3.5, "points", 1)
        >>> ms.report.amount(point)
        '+2.2 points [+1.0, +3.5]'
        >>> ms.report.amount(point, 2, bare=True)
        '+2.25 [+1.00, +3.50]'
    """
    if math.isnan(point.value):
        return "failed"
    digits = point.scale.digits if digits is None else digits
    value, low, high = (
        number(v, digits, signed=not bare or point.unit == "points") for v in (point.value, point.low, point.high)
    )
    text = value if bare else f"{value} {point.unit}".strip()
    if point.sure:
        return f"{text} [{low}, {high}]"
    return text if bare else f"{text} (no interval)"


def layers(points: list[Point]) -> str:
    """Where points are."""
    return listed([p.layer for p in points])


def listed(layers: list[str]) -> str:
    """Layers in a row, or how many."""
    names = [plain(layer) for layer in layers]
    if len(names) > 4:  # not "from ... to ...": those between need not all be meant
        return f"{len(names)} layers (first {names[0]}, last {names[-1]})"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def seams_of(found: list[SeamMeans]) -> str:
    """Seams in a row, or how many."""
    names = [plain(s.layer if s.bottom_layer == s.layer else f"{s.bottom_layer} -> {s.layer}") for s in found]
    if len(names) > 4:
        return f"{len(names)} seams (the first {names[0]})"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
