"""One value and its null level, or why there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import MeasureError, first_line
from ..measures import MEASURES, Measure, Null
from ..support.memory import out_of_memory


@dataclass(frozen=True)
class LayerPair:
    """One measure of one pair of layers; ``value`` is None where it is not defined, and ``note`` says why."""

    bottom_layer: str
    top_layer: str
    measure: Measure
    value: float | None
    null: Null | None
    note: str = ""


def attempt(
    measure: Measure, find_value: Callable[[], float], find_null: Callable[[], Null | None], where: str
) -> tuple[float | None, Null | None, str]:
    """(the value, its null level, why one of them is missing).

    What a measure of the user's own raises takes no other with it.

    Args:
        find_null: returns None where no null level is asked for; called only where there is a value.
        where: the pair of layers, for the note.
    """
    value = null = None
    try:
        value = find_value()
        where = f"{where}, pairs shuffled"
        null = find_null()
    except MeasureError as error:
        return value, null, f"{where}: {error}"
    except Exception as error:
        if measure is MEASURES.get(measure.name) or out_of_memory(error):
            raise
        return value, null, f"{where}: the measure {measure.name!r} raised {type(error).__name__}: {first_line(error)}"
    return value, null, ""
