"""Values beside their null levels, or why there are none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from ..errors import MeasureError, first_line
from ..measures import MEASURES, Measure, Null
from ..measures.evaluate import level
from ..support.memory import out_of_memory
from .meeting import LayerKey, Meeting
from .plan import Block


@dataclass(frozen=True)
class LayerPair:
    """One measure of one pair of layers; ``value`` is None where it is not defined, and ``note`` says why."""

    bottom: LayerKey
    top: LayerKey
    measure: Measure
    value: float | None
    null: Null | None
    note: str = ""


class SideError(MeasureError):
    """One side alone is why there is no value; the message names it."""


ValueOf = Callable[
    [Measure, LayerKey, LayerKey, int | None], float
]  # of a pair of layers, rightly paired or under a shuffle


def measured(
    measures: Sequence[Measure], meeting: Meeting, block: Block, value_of: ValueOf, shuffles: int
) -> list[LayerPair]:
    """Every measure of every pair of a block, each beside its null level.

    Args:
        value_of: the value of (measure, bottom layer, top layer, shuffle); None is the right pairing.
        shuffles: how many the null level is made of; 0 leaves it out.
    """
    found, seams = [], meeting.seams(block.left, block.right, block.pairs)
    for measure in measures:
        turned = [(t, b) for b, t in seams] if meeting.both and not measure.symmetric else []
        for b, t in seams + turned:
            values = attempt(measure, partial(value_of, measure, b, t), shuffles, f"{b} and {t}")
            found.append(LayerPair(b, t, measure, *values))
    return found


def attempt(
    measure: Measure, value_of: Callable[[int | None], float], shuffles: int, where: str
) -> tuple[float | None, Null | None, str]:
    """(the value, its null level, why one of them is missing).

    What a measure of the user's own raises takes no other with it.
    """
    value = null = None
    try:
        value = value_of(None)
        where = f"{where}, pairs shuffled"
        null = level([value_of(shuffle) for shuffle in range(shuffles)]) if shuffles else None
    except SideError as error:
        return value, null, str(error)
    except MeasureError as error:
        return value, null, f"{where}: {error}"
    except Exception as error:
        if measure is MEASURES.get(measure.name) or out_of_memory(error):
            raise
        return value, null, f"{where}: the measure {measure.name!r} raised {type(error).__name__}: {first_line(error)}"
    return value, null, ""
