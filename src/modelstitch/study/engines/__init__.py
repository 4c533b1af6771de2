"""Where sweeps run: in this process, in several, or on a Ray cluster.

An engine takes groups of cells, each of which is fitted together, and hands out their records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ...records.record import Record
from ...support.progress import Tell
from ..plan import Cell
from ..sweeps.bench import Bench

OpenBench = Callable[[], Bench]  # travels to another process, and opens donors and data there by their names
Engine = Callable[[Sequence[list[Cell]], Bench, Tell | None], Iterator[Record]]  # each as soon as it is there
