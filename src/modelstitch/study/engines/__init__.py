"""Where sweeps run: in this process, or on a Ray cluster.

An engine takes groups of cells and hands out their records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ...support.progress import Tell
from ..plan import Cell
from ..record import Record
from ..store import Store
from ..sweep import Bench

OpenBench = Callable[[], Bench]  # travels to another process, and opens donors and data there by their names
Engine = Callable[[Sequence[Sequence[Cell]], Bench, Store | None, Tell | None], Iterator[Record]]
