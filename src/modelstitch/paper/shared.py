"""Figures share pairs, and what was measured on them.

A figure that asks for more may find it in another one's records.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import modelstitch as ms

from ..study import Record
from . import catalogue
from .figure import Figure, Line, Probe

Find = Callable[[str], Sequence[Record]]


def completed(records: Sequence[Record], figure: Figure, others: Sequence[Figure], find: Find) -> list[Record]:
    """A figure's records, with those of other figures for lines and probes that it shares with them and has none of.

    A run would find the same cells in its store. The networks behind them come along.

    Args:
        others: where to look.
        find: the records of a figure by its name; none where it was not run.
    """
    found = [Record.of(r) for r in records]
    for asked in _measured(figure):
        if not any(r.tags["line"] == asked.label for r in found):
            found += _elsewhere(asked, figure, others, find, {r.tags["line"] for r in found})
    return found


def complete(figure: Figure, folder: Path) -> None:
    """Add to a figure's records in a gallery what it shares with other figures there: see ``completed``."""

    def find(name: str) -> list[Record]:
        path = folder / f"{name}.parquet"
        return ms.open(path).records if path.is_file() else []

    records = find(figure.name)
    more = completed(records, figure, [catalogue.figure(name) for name in catalogue.FIGURES], find) if records else []
    if len(more) > len(records):
        ms.Results(more, {}).save(folder / f"{figure.name}.parquet")


def _elsewhere(
    asked: Line | Probe, figure: Figure, others: Sequence[Figure], find: Find, there: set[str]
) -> list[Record]:
    for other in others:
        for same in _measured(other):
            if other.name == figure.name or _plain(same) != _plain(asked):
                continue
            theirs = find(other.name)
            mine = [r for r in theirs if r.tags["line"] == same.label]
            if mine:
                names = {end.name for r in mine for end in (r.bottom, r.top)} - there
                donors = [r for r in theirs if r.control == "donor" and r.tags["line"] in names]
                return [_tagged(r, figure, asked.label) for r in mine] + [
                    _tagged(r, figure, r.tags["line"]) for r in donors
                ]
    return []


def _measured(figure: Figure) -> list[Line | Probe]:
    return [*figure.lines, *figure.probes]


def _plain(asked: Line | Probe) -> Line | Probe:
    """What is measured, whatever a figure calls it and sets beside it."""
    return replace(asked, label="", paper="")


def _tagged(record: Record, figure: Figure, line: str) -> Record:
    return record.tagged({**record.tags, "figure": figure.name, "line": line})
