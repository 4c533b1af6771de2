"""A declared study: its spec, its plan of cells, the engine that runs them, and the store that keeps them.

The names below are public: what a reader of a study's folder works with. None of them imports torch. They are loaded
when they are first used, so that ``--help`` is quick.
"""

from typing import TYPE_CHECKING

from ..support.lazy import loading

_PLACES = {
    "Event": "..support.progress",
    "Metric": "..records.record",
    "Record": "..records.record",
    "Store": ".store",
}

__all__ = ["Event", "Metric", "Record", "Store"]

if TYPE_CHECKING:
    from ..records.record import Metric, Record
    from ..support.progress import Event
    from .store import Store
else:  # a type checker would take it for a promise that every name is there
    __getattr__ = loading(__name__, _PLACES)
