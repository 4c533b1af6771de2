"""Embeddings without their networks: an old model's, brought into the space of a new one.

The estimator is loaded when it is first used, so that who only chooses anchors does not wait for scikit-learn.
"""

from typing import TYPE_CHECKING

from ..support.lazy import loading
from .anchors import anchors

_PLACES = {
    "Aligner": ".aligner",
    "QueryTime": ".rehearsal",
    "Rehearsal": ".rehearsal",
    "align": ".aligner",
    "query_time": ".rehearsal",
    "rehearse": ".rehearsal",
}

__all__ = ["Aligner", "QueryTime", "Rehearsal", "align", "anchors", "query_time", "rehearse"]

if TYPE_CHECKING:
    from .aligner import Aligner, align
    from .rehearsal import QueryTime, Rehearsal, query_time, rehearse
else:  # a type checker would take it for a promise that every name is there
    __getattr__ = loading(__name__, _PLACES)
