"""What a page opens with: what was found of each pair, in one sentence, and what is said of several pairs only once."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from ...support.words import first_of
from ..figures.style import number, plain
from ..frame import curve
from . import verdicts
from .remark import Remark, amount

_MOST = 4  # sentences
_MOST_NAMES = 3


def answers(panels: Sequence[tuple[str, pl.DataFrame]]) -> list[str]:
    """A sentence a pair: at how many layers the penalty is near 0, what that means, and where it is largest.

    Args:
        panels: (what the pair is called, its rows).
    """
    told: list[str] = []
    for name, rows in panels:
        points = curve(rows)
        if not points:
            continue
        if len(told) == _MOST:
            told.append(f"{len(panels) - _MOST} more pairs are below.")
            break
        name = f"{name}{_alone(rows)}"
        worst = max(points, key=lambda p: p.value)
        least = f"the largest penalty is {amount(worst)}, at {plain(worst.layer)}"
        near = worst.scale.near
        if not near:
            told.append(f"{name}: over {len(points)} layers {least}.")
            continue
        good = sum(verdicts.state(p) in ("near", "better") for p in points)
        level = f"{number(near, worst.scale.digits)} {worst.unit}"
        told.append(
            f"{name}: near 0 (within {level}, with its whole interval) or below at {good} of {len(points)} "
            f"layers; {least}."
        )
    return told


def _alone(rows: pl.DataFrame) -> str:
    """The errors of both networks alone, where records keep them."""
    found = [next(iter(curve(rows, metric=f"{side}_error")), None) for side in ("bottom", "top")]
    if None in found:
        return ""
    errors = [f"{number(p.value, p.scale.digits)} {p.unit}" for p in found if p is not None]
    return f" (alone they err by {errors[0]} and {errors[1]})"


def said_once(remarks: Sequence[tuple[str, Sequence[Remark]]]) -> tuple[list[Remark], list[list[Remark]]]:
    """Remarks that several pairs have in common, each once with the pairs that it concerns; and what is left of each.

    Args:
        remarks: (what the pair is called, its remarks).
    """
    pairs: dict[Remark, list[str]] = {}
    for name, own in remarks:
        for remark in own:
            pairs.setdefault(remark, []).append(name)
    common = {remark: names for remark, names in pairs.items() if len(names) > 1}
    shared = [
        Remark(remark.kind, f"{remark.text} ({_names(names, len(remarks))}.)") for remark, names in common.items()
    ]
    return shared, [[remark for remark in own if remark not in common] for _, own in remarks]


def _names(names: Sequence[str], every: int) -> str:
    if len(names) == every:
        return f"Of all {every} pairs"
    return f"Of {first_of(names, _MOST_NAMES)}"
