"""The local engine: one sweep after the other, in this process; each finished cell is stored at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..canonical import Record
from ..plan import Cell
from ..store import Store
from ..sweep import Bench, Tell, run_sweep


def run(groups: Sequence[Sequence[Cell]], bench: Bench, store: Store | None, tell: Tell | None) -> Iterator[Record]:
    """The records of all groups, in order."""
    for group in groups:
        for fitted in run_sweep(group, bench, tell=tell):
            if store is not None:
                store.write(fitted.record)
            yield fitted.record
