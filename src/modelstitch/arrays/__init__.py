"""Embeddings without their networks: an old model's, brought into the space of a new one."""

from .aligner import Aligner, align
from .rehearsal import QueryTime, Rehearsal, query_time, rehearse

__all__ = ["Aligner", "QueryTime", "Rehearsal", "align", "query_time", "rehearse"]
