"""How far a study is: done, running, failed, missing, stale, set aside, and the time that is left. No torch."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..records.record import Record
from ..support.words import counted, duration
from .store import Store, present

FRESH = 300.0  # seconds; a fit under way writes its state once a minute


@dataclass(frozen=True)
class Status:
    """What ``status_of`` found in a study's folder.

    Attributes:
        folder: the folder.
        planned: how many cells the study is to have; None where it has no plan.
        done: {(bottom, top, control): finished cells}; those that failed are among them.
        failed: {cell: why there is nothing to measure}.
        missing: how many cells are not finished.
        running: processes that are at work.
        fits: states of fits under way that are fresh.
        left: seconds until the rest is done, from what the finished cells took; None where that is unknown.
        damaged: {cell: why its file is not believed}.
        stale: how many cells the plan does not name.
        set_aside: files that were set aside.
        cautions: what a reader of the records has to know.
    """

    folder: str
    planned: int | None
    done: dict[tuple[str, str, str], int]
    failed: dict[str, str]
    missing: int
    running: int
    fits: int
    left: float | None
    damaged: dict[str, str]
    stale: int
    set_aside: list[str]
    cautions: list[str]

    @property
    def finished(self) -> int:
        """How many cells are finished."""
        return sum(self.done.values())

    def plain(self) -> dict[str, Any]:
        """As plain values, for other programs."""
        done = [{"bottom": b, "top": t, "control": c, "cells": n} for (b, t, c), n in sorted(self.done.items())]
        return {**vars(self), "finished": self.finished, "done": done}

    def sentences(self) -> list[str]:
        """What a person wants to know, one line each."""
        told = [f"{self.finished} finished cells."]
        if self.missing:
            told.append(f"{self.missing} cells are missing: the command that made the folder goes on with them.")
        if self.running or self.fits:
            fits = f", {counted(self.fits, 'fit')} under way" if self.fits else ""
            told.append(f"{counted(self.running, 'process', 'processes')} at work{fits}.")
        if self.left is not None:
            told.append(f"About {duration(self.left)} left, from what finished cells took.")
        told += [f"failed: {cell}: {why}" for cell, why in self.failed.items()]
        told += [f"caution: {caution}" for caution in self.cautions]
        told += [f"set aside: {path}" for path in self.set_aside]
        return told


def status_of(folder: str | Path) -> Status:
    """How far the study in a folder is.

    Raises:
        StudyError: the folder holds no study, or its plan cannot be believed.
    """
    store = Store(folder)
    held = store.glance(_cell)
    at_work, states = len(present(store.path / "running")), store.path / "unfinished"
    fresh = [path for path in states.iterdir() if _age(path) < FRESH] if states.is_dir() else []
    seconds = [cell.seconds for cell in held.records if cell.seconds]
    left = len(held.missing) * sum(seconds) / len(seconds) / max(1, at_work) if seconds and held.missing else None
    return Status(
        str(store.path),
        len(held.missing) + len(held.records) if held.planned else None,
        dict(Counter(cell.of for cell in held.records)),
        {cell.name: cell.failed for cell in held.records if cell.failed},
        len(held.missing),
        at_work,
        len(fresh),
        left,
        held.damaged,
        len(held.stale),
        [str(path) for path in store.set_aside()],
        held.cautions,
    )


class _Finished(NamedTuple):
    """What is told of one finished cell; ``of`` is its bottom, top and control."""

    name: str
    of: tuple[str, str, str]
    seconds: float
    failed: str


def _cell(record: Record) -> _Finished:
    return _Finished(record.cell, (record.bottom.name, record.top.name, record.control), record.seconds, record.failed)


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:  # it has just ended
        return float("inf")
