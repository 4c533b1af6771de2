"""What the folder of a study was found to hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

_AGAIN = "the next run sets it aside and runs the cell again"

T = TypeVar("T")


@dataclass(frozen=True)
class Holdings(Generic[T]):
    """What the folder of a study holds.

    Attributes:
        spec: what the study is.
        records: its finished cells, in the order of their hashes; or what was kept of each.
        damaged: {cell: why its file cannot be believed}.
        missing: planned cells that are not finished; the damaged ones are among them.
        stale: cells that the plan does not name: of replaced donors, data or versions.
        planned: whether the study has a plan; without one all cells belong to it.
        undigested: cells that were written before records had a digest.
    """

    spec: dict[str, Any]
    records: list[T]
    damaged: dict[str, str]
    missing: list[str]
    stale: list[str]
    planned: bool
    undigested: list[str]

    @property
    def cautions(self) -> list[str]:
        """What a reader of the records has to know, one sentence each."""
        told = [f"The cell {cell} is left out: {why}; {_AGAIN}." for cell, why in self.damaged.items()]
        if self.stale:
            told.append(
                f"{_counted(self.stale)} left out: the plan does not name them, since they are of donors, data or "
                "options that were replaced; `modelstitch gc` removes them."
            )
        if self.undigested:
            told.append(
                f"{_counted(self.undigested)} without digest: written by an earlier version, changes in them show only "
                "where they contradict each other."
            )
        return told


def _counted(cells: Sequence[str]) -> str:
    return f"{len(cells):,} cell{' is' if len(cells) == 1 else 's are'}"
