"""Embeddings without their networks: an old model's, brought into the space of a new one."""

from .aligner import Aligner, align
from .given import Vectors

__all__ = ["Aligner", "Vectors", "align"]
