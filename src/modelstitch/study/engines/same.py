"""Random bottoms that two donors have in common: the same work under two names, done once."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

from ..canonical import canonical_json
from ..plan import Cell
from ..record import Record
from ..sweep import Bench, facts


def work_of(group: Sequence[Cell], bench: Bench) -> str:
    """What a group of random controls does, without the donor's name: the drawn network itself; empty for all others."""
    below = bench.below(group[0]) if group[0].sweep.kind == "random" else None
    if below is None:
        return ""
    network = below.fingerprint()
    configs = [{**c.config, "bottom": {**c.config["bottom"], "name": "", "fingerprint": network}} for c in group]
    return canonical_json({"cells": configs})


def renamed(cell: Cell, record: Record, bench: Bench) -> Record:
    """The record of the same work under another cell's name, with what is stated of that cell's own donors."""
    donors = bench.donors(cell)
    others = {caution for donor in bench.looked.values() for caution in donor.cautions}
    notes = (
        *(note for note in record.notes if note not in others),
        *(caution for donor in donors for caution in donor.cautions),
        f"the same random network as in cell {record.cell}: fitted once",
    )
    return replace(record, cell=cell.hash, config=copy.deepcopy(cell.config), notes=notes, donors=facts(donors))
