"""The local engine: one sweep after the other, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...support.progress import Tell
from ..plan import Cell, fitted_together
from ..record import Record
from ..sweep import Bench, run_sweep
from .same import renamed, work_of


def run(groups: Sequence[Sequence[Cell]], bench: Bench, tell: Tell | None) -> Iterator[Record]:
    """The records of all groups, in order; random bottoms that two donors have in common are fitted once."""
    done: dict[str, list[Record]] = {}
    for group in (part for cells in groups for part in fitted_together(cells)):
        same = work_of(group, bench)
        if same in done:
            found = (renamed(cell, record, bench) for cell, record in zip(group, done[same]))
        else:
            found = (fitted.record for fitted in run_sweep(group, bench, tell=tell))
        records = done.setdefault(same, []) if same and same not in done else []
        for record in found:
            records.append(record)
            yield record
