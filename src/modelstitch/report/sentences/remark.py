"""One sentence on a page, and how values and places are said in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..figures.style import number, plain
from ..frame import Point, SeamMeans
from .units import scale_of

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


def amount(point: Point) -> str:
    """A value with its interval and unit."""
    digits = scale_of(point.unit).digits
    text = f"{number(point.value, digits, signed=True)} {point.unit}".strip()
    if not point.sure:
        return f"{text} (no interval)"
    return f"{text} [{number(point.low, digits)}, {number(point.high, digits)}]"


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
