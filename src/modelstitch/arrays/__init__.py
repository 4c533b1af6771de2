"""Embeddings without their networks: an old model's, brought into the space of a new one."""

from .aligner import Aligner, align
from .anchors import anchors
from .rehearsal import QueryTime, Rehearsal, query_time, rehearse

__all__ = ["Aligner", "QueryTime", "Rehearsal", "align", "anchors", "query_time", "rehearse"]
