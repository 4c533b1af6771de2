"""The local engine, one sweep after the other; and what all engines share: work done once, donors proved the same."""

from __future__ import annotations

import copy
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...errors import StudyError
from ...records.record import Record
from ...support.hashing import canonical_json
from ...support.progress import Tell
from ...support.user_code import in_words
from ..plan import Cell
from ..sweeps.bench import Bench
from ..sweeps.fitted import run_family, run_sweeps
from ..sweeps.grouped import readings


@dataclass
class Batchwork:
    """Cells that are fitted together, for another process.

    Attributes:
        groups: the cells, and those that are the same work under other names.
        again: it is the second try.
        came: how many records of it came back.
        heard: when its process last said a word.
    """

    groups: list[list[Cell]]
    again: bool = False
    came: int = 0
    heard: float = field(default_factory=time.monotonic)

    def records(self, record: Record, bench: Bench) -> list[Record]:
        """The next record that came back, and those of the same work under other names."""
        at, self.came = self.came, self.came + 1
        return [renamed(group[at], record, bench) if number else record for number, group in enumerate(self.groups)]


def tasks(groups: Sequence[list[Cell]], bench: Bench) -> list[Batchwork]:
    """One for all cells that are fitted together; random networks that two donors share are drawn and fitted once."""
    found: list[Batchwork] = []
    first: dict[str, Batchwork] = {}
    for part in groups:
        same = work_of(part, bench)
        if same in first:
            first[same].groups.append(part)
            continue
        found.append(Batchwork([part]))
        if same:
            first[same] = found[-1]
    return found


def work_of(group: Sequence[Cell], bench: Bench) -> str:
    """What a group of controls does whose bottom is drawn anew, without the donor's name: the drawn network itself.

    Empty for all others.
    """
    control = group[0].sweep.control
    below = bench.below(group[0]) if control is not None and control.draw else None
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
    facts = {donor.name: donor.facts for donor in donors}
    return replace(record, cell=cell.hash, config=copy.deepcopy(cell.config), notes=notes, donors=facts)


def check_same(cells: Sequence[Cell], bench: Bench) -> None:
    """That donors, what they make of samples, and data are here what they were where the cells were planned."""
    data = cells[0].config["data"]
    _same("data", data["name"], data["fingerprint"], bench.data.fingerprint)
    if bench.second is not None:
        second = data["second"]
        _same("second data", second["name"], second["fingerprint"], bench.second.fingerprint)
    ends = {cell.config[side]["name"]: cell.config[side] for cell in cells for side in ("bottom", "top")}
    for name, end in ends.items():
        if name in bench.networks:
            network = bench.networks[name]
            _same("donor", name, end["fingerprint"], network.fingerprint())
            _same("view of the donor", name, end.get("view", ""), in_words(network.view))


def _same(what: str, name: str, wanted: Any, found: Any) -> None:
    if found != wanted:
        raise StudyError(
            f"The {what} {name!r} on the node {platform.node()} is another than here: expected {wanted}, found "
            f"{found}; give every node the same files."
        )


def run(groups: Sequence[list[Cell]], bench: Bench, tell: Tell | None) -> Iterator[Record]:
    """The records of all groups, families of closed forms first.

    Random bottoms that two donors have in common are fitted once; fitted sweeps into one top are measured together.
    """
    done: dict[str, list[Record]] = {}
    work: dict[str, str] = {}  # of each cell that is fitted
    again: list[tuple[Sequence[Cell], str]] = []

    def wanted(group: Sequence[Cell]) -> bool:
        same = work_of(group, bench)
        if same in done:
            again.append((group, same))
            return False
        if same:
            done[same] = []
        work.update(dict.fromkeys((cell.hash for cell in group), same))
        return True

    for reading in readings(groups, bench):
        if reading.family:
            yield from (fitted.record for fitted in run_family(reading, bench, tell=tell))
            continue
        for fitted in run_sweeps(reading, bench, wanted, tell=tell):
            if same := work[fitted.record.cell]:
                done[same].append(fitted.record)
            yield fitted.record
        for group, same in again:
            yield from (renamed(cell, record, bench) for cell, record in zip(group, done[same]))
        again.clear()
