"""The local engine: one sweep after the other, in this process; each finished cell is stored at once."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

from ..canonical import Record, canonical_json
from ..plan import Cell, fitted_together
from ..store import Store
from ..sweep import Bench, Tell, run_sweep


def run(groups: Sequence[Sequence[Cell]], bench: Bench, store: Store | None, tell: Tell | None) -> Iterator[Record]:
    """The records of all groups, in order; random bottoms that two donors have in common are fitted once."""
    done: dict[str, list[Record]] = {}
    for group in (part for cells in groups for part in fitted_together(cells)):
        same = _work(group, bench)
        if same in done:
            found = (_as(cell, record) for cell, record in zip(group, done[same]))
        else:
            found = (fitted.record for fitted in run_sweep(group, bench, tell=tell))
        records = done.setdefault(same, []) if same and same not in done else []
        for record in found:
            if store is not None:
                store.write(record)
            records.append(record)
            yield record


def _work(group: Sequence[Cell], bench: Bench) -> str:
    """What a group of random controls does, without the donor's name: the drawn network itself; empty for all others."""
    below = bench.below(group[0]) if group[0].sweep.kind == "random" else None
    if below is None:
        return ""
    network = below.fingerprint()
    configs = [{**c.config, "bottom": {**c.config["bottom"], "name": "", "fingerprint": network}} for c in group]
    return canonical_json({"cells": configs})


def _as(cell: Cell, record: Record) -> Record:
    """The record of the same work under another cell's name."""
    twin = copy.deepcopy(record)
    twin["cell"], twin["config"] = cell.hash, copy.deepcopy(cell.config)
    twin["notes"] = [*twin["notes"], f"the same random network as in cell {record['cell']}: fitted once"]
    return twin
