"""A declared study: its spec, its plan of cells, the engine that runs them, and the store that keeps them.

The names below are public: what a reader of records works with. None of them imports torch.
"""

from .pooling import pool
from .record import Metric, Record
from .store import Store

__all__ = ["Metric", "Record", "Store", "pool"]
