"""The store of a study: one JSON file per finished cell, and the spec they were made from.

    DIR/study.json            the spec; another spec may not write here
    DIR/planned.json          the hashes of all cells that the study is to have: these alone belong to it
    DIR/planned/<hash>.json   the same of one part of it, where a study is asked for part by part
    DIR/cells/<hash>.json     one record, written whole or not at all
    DIR/running/              a file of each process at work; of one that was killed it counts no longer

A killed run loses no finished cell: what is in ``cells`` is complete. A file that cannot be believed is set aside by
the next run, and its cell run again. Files of other programs are passed over.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..errors import RecordError, StudyError
from ..records.record import Record
from ..support.files import (
    as_path,
    clean,
    create,
    is_left_behind,
    make_folder,
    probe,
    temporary,
    write_atomic,
)
from ..support.kinds import kinds
from ..support.memory import uncollected
from .identity import NAME, FolderIdentity, put_aside

if TYPE_CHECKING:
    from .spec import StudySpec


_AGAIN = "the next run sets it aside and runs the cell again"

T = TypeVar("T")


@dataclass(frozen=True)
class Holdings(Generic[T]):
    """What the folder of a study holds.

    Attributes:
        spec: what the study is.
        records: its finished cells, in the order of the plan, else of their hashes; or what was kept of each.
        damaged: {cell: why its file cannot be believed}.
        missing: planned cells that are not finished; the damaged ones are among them.
        stale: cells that the plan does not name: of replaced donors, data or versions.
        planned: whether the study has a plan; without one all cells belong to it.
    """

    spec: dict[str, Any]
    records: list[T]
    damaged: dict[str, str]
    missing: list[str]
    stale: list[str]
    planned: bool

    @property
    def cautions(self) -> list[str]:
        """What a reader of the records has to know, one sentence each."""
        told = [f"The cell {cell} is left out: {why}; {_AGAIN}." for cell, why in self.damaged.items()]
        if self.stale:
            told.append(
                f"{_counted(self.stale)} left out: the plan does not name them, since they are of donors, data or "
                "options that were replaced; `modelstitch gc` removes them."
            )
        return told


def _counted(cells: Sequence[str]) -> str:
    return f"{len(cells):,} cell{' is' if len(cells) == 1 else 's are'}"


class Store:
    """Keep the cells of one study in a folder.

    Args:
        path: the folder.
        spec: what the study is. With it the folder is made if needed, tried for writing, and freed of temp
            files of killed runs. Without it the folder must hold a study already. A part ``about`` is no part of what
            the study is: it names, for a reader, what stands as a hash elsewhere.

    Attributes:
        path: the folder.
        part: of the study that is asked for; empty for all of it.

    Raises:
        StudyError: the folder holds another study (the differing key and both values are named), holds none
            and no spec was given, cannot be written to, or is full.

    Examples:
        >>> store = ms.study.Store("cells", {"name": "mine"})
        >>> store.write(r.records[0])
        >>> store.read(r.records[0].cell).top.name
        'top'
    """

    @kinds("path")
    def __init__(self, path: str | Path, spec: StudySpec | Mapping[str, Any] | None = None) -> None:
        self.path = as_path(path, "study")
        self._cells = self.path / "cells"
        self.part = ""
        self._mine: Path | None = None  # the file that says that this process is at work
        self._identity = FolderIdentity(self.path, spec)
        if spec is None:
            return
        self._identity.refuse_others(cells=bool(self._files()))
        for folder in (self.path, self._cells):
            probe(folder)
        for folder in (self.path, self._cells, *(self.path / name for name in ("unfinished", "running", "planned"))):
            clean(folder)
        self._identity.claim()

    @property
    def spec(self) -> dict[str, Any]:
        """The spec as plain JSON values, as saved in ``study.json``."""
        return self._identity.spec

    @classmethod
    def beheld(cls, path: str | Path, spec: StudySpec | Mapping[str, Any]) -> Store | None:
        """Open the folder of this study as it lies there, nothing made or moved.

        Args:
            path: the folder.
            spec: what the study is.

        Returns:
            The store; None where there is no folder yet.

        Raises:
            StudyError: the folder holds another study, or cells of unknown origin.

        Examples:
            >>> ms.study.Store.beheld("nowhere", {"name": "mine"}) is None
            True
        """
        found = cls.__new__(cls)
        found.path, found._cells = Path(path), Path(path) / "cells"
        found._mine, found.part = None, ""
        found._identity = FolderIdentity(found.path, spec)
        with contextlib.suppress(RecordError):  # a run sets it aside
            if found._identity.saved() is None and not found._files():
                return None
            found._identity.refuse_others(cells=bool(found._files()))
        return found

    def believed(self, cells: Iterable[str]) -> set[str]:
        """Find which of these cells are kept in a file that can be believed; the others are run.

        Args:
            cells: their hashes.

        Returns:
            Those that are.

        Examples:
            >>> store = ms.study.Store("cells", {"name": "mine"})
            >>> store.believed(["0" * 16])
            set()
        """
        found = set()
        for cell in cells:
            with contextlib.suppress(FileNotFoundError, RecordError):
                self._read(cell)
                found.add(cell)
        return found

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Stand around a run.

        One that fails before it has a cell, a donor or the state of a fit leaves the folder to any study.

        Only the process that made ``study.json`` takes it away, and none while another one is at work.

        Yields:
            Nothing.

        Examples:
            >>> store = ms.study.Store("cells", {"name": "mine"})
            >>> with store.begun():
            ...     store.write(r.records[0])
        """
        try:
            with working(self.path / "running") as self._mine:
                yield
        except BaseException:
            donors = self.path / "donors"
            begun = (self.path / "unfinished").is_dir() or (donors.is_dir() and any(donors.iterdir()))
            if not begun and not self._files() and not present(self.path / "running"):
                self._identity.take_back()
            raise

    def for_part(self, part: str) -> Store:
        """Give the same store, asked for one part of its study.

        A plan of it is that part's, and leaves the others as they are.

        Args:
            part: its name.

        Returns:
            The store of that part.

        Examples:
            >>> store = ms.study.Store("cells", {"name": "mine"})
            >>> store.for_part("one").planned() is None
            True
        """
        found = copy.copy(self)
        found.part = part
        return found

    def plan(self, cells: Sequence[str]) -> None:
        """Write down which cells the study, or the part of it, is to have.

        What no plan names is stale from then on.

        Args:
            cells: their hashes.

        Examples:
            >>> store = ms.study.Store("cells", {"name": "mine"})
            >>> store.plan([record.cell for record in r.records])
            >>> store.missing() == len(r.records)
            True
        """
        if self.part and not self._identity.plans() and self._files():
            self._identity.plan(sorted(self._files()), "")  # made before there were plans: they belong to it, too
        self._identity.plan(cells, self.part or None)

    def planned(self) -> list[str] | None:
        """Read which cells the study is to have.

        Returns:
            Their hashes; None where no plan was written down.

        Raises:
            StudyError: the plan cannot be believed.

        Examples:
            >>> store = ms.study.Store("cells", {"name": "mine"})
            >>> store.planned() is None
            True
        """
        return self._identity.planned()

    def has(self, cell: str) -> bool:
        """Tell whether there is a file for a cell.

        Args:
            cell: its hash.

        Returns:
            Whether there is.

        Examples:
            >>> store = ms.study.Store("cells", {"name": "mine"})
            >>> store.has("0" * 16)
            False
        """
        return self._file(cell).is_file()

    def read(self, cell: str) -> Record:
        """Read the record of one finished cell.

        Args:
            cell: its hash.

        Returns:
            The record.

        Raises:
            StudyError: the cell is not finished.
            RecordError: its file cannot be believed, and why.

        Examples:
            >>> store = ms.study.Store("cells", {"name": "mine"})
            >>> store.write(r.records[0])
            >>> store.read(r.records[0].cell).metric("penalty") == r.records[0].metric("penalty")
            True
        """
        path = self._file(cell)
        try:
            return self._read(cell)
        except FileNotFoundError as error:
            raise StudyError(
                f"The cell {cell} is not in {self.path}: expected a finished cell, found no file."
            ) from error
        except RecordError as error:
            raise RecordError(f"{path} is not believed: {error}; {_AGAIN}.") from error

    def kept(self, cell: str) -> Record | None:
        """Read the record of a cell, if it is to be believed.

        A file that cannot be believed is set aside, with a warning.

        Args:
            cell: its hash.

        Returns:
            The record; None where the cell is to be run.

        Examples:
            >>> store = ms.study.Store("cells", {"name": "mine"})
            >>> store.kept("0" * 16) is None
            True
        """
        try:
            return self._read(cell)
        except FileNotFoundError:
            return None
        except RecordError as error:
            aside = put_aside(self._file(cell), str(error))
        if aside is not None:
            with contextlib.suppress(
                OSError, RecordError
            ):  # another run wrote the cell anew just before: that one stays
                text = aside.read_bytes()
                Record.from_json(text, cell)
                create(self._file(cell), text)
                aside.unlink()
        return self.kept(cell)

    def _read(self, cell: str, read: Callable[[bytes, str], Record] = Record.from_json) -> Record:
        """A record from its file.

        Raises:
            FileNotFoundError, RecordError: there is none, or none that can be believed.
        """
        try:
            with open(self._place(cell), "rb", buffering=0) as file:
                return read(file.read(), cell)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise RecordError(f"expected a file that can be read, found {error.strerror}") from error

    def write(self, record: Mapping[str, Any]) -> None:
        """Keep the record of a finished cell, whole or not at all.

        Args:
            record: of the cell.

        Raises:
            StudyError: the record is incomplete, holds NaN (the metric is named), or cannot be written; or another
                study has taken the folder.

        Examples:
            >>> store = ms.study.Store("cells", {"name": "mine"})
            >>> store.write(r.records[0])
            >>> store.has(r.records[0].cell)
            True
        """
        try:
            whole = Record.of(record)
        except RecordError as error:
            raise RecordError(f"The record cannot be kept: {error}.") from error
        self._identity.claim()
        write_atomic(self._file(whole.cell), whole.to_json())
        if self._mine is not None:
            with contextlib.suppress(OSError):
                os.utime(self._mine)  # on another machine its age says whether the process lives

    def look(self) -> Holdings[Record]:
        """Look at what the folder holds: the cells of its plan, and what else lies there.

        Returns:
            The records, and what else there is.

        Raises:
            StudyError: the plan cannot be believed, or the folder has none and holds cells of several networks under
                one name.

        Examples:
            >>> store = ms.study.Store("cells", {"name": "mine"})
            >>> store.write(r.records[0])
            >>> len(store.look().records)
            1
        """
        with uncollected():
            return self._survey(Record.from_json, lambda record: record)

    def glance(self, keep: Callable[[Record], T]) -> Holdings[T]:
        """Look as ``look`` does, and keep of each record a part.

        The rest is let go at once.

        Args:
            keep: makes the part of what ``Record.glance`` gives.

        Returns:
            The parts, and what else there is.

        Raises:
            StudyError: as ``look``.

        Examples:
            >>> store = ms.study.Store("cells", {"name": "mine"})
            >>> store.write(r.records[0])
            >>> list(store.glance(lambda record: record.top.name).records)
            ['top']
        """
        return self._survey(Record.glance, keep)

    def _survey(self, read: Callable[[bytes, str], Record], keep: Callable[[Record], T]) -> Holdings[T]:
        there, planned = self._files(), self.planned()
        wanted = there if planned is None else set(planned)
        kept: dict[str, T] = {}
        known: dict[str, str] = {}  # fingerprints of networks by name
        damaged = {}
        for cell in sorted(there) if planned is None else (name for name in planned if name in there):
            try:
                record = self._read(cell, read)
            except FileNotFoundError:  # a run has just set it aside
                continue
            except RecordError as error:
                damaged[cell] = str(error)
                continue
            if planned is None:
                self._refuse_mixed(record, known)
            kept[cell] = keep(record)
        missing = [cell for cell in (sorted(damaged) if planned is None else planned) if cell not in kept]
        return Holdings(self.spec, list(kept.values()), damaged, missing, sorted(there - wanted), planned is not None)

    def records(self) -> list[Record]:
        """Read all finished cells of the study, in the order of the plan, else of their hashes.

        Returns:
            The records.

        Raises:
            RecordError: a file cannot be believed; it is named, and why.
            StudyError: as ``look``.

        Examples:
            >>> store = ms.study.Store("cells", {"name": "mine"})
            >>> store.records()
            []
        """
        found = self.look()
        for cell in found.damaged:
            self.read(cell)
        return found.records

    def missing(self) -> int:
        """Count the planned cells that are not finished.

        Returns:
            How many; 0 where no plan was written down.

        Examples:
            >>> store = ms.study.Store("cells", {"name": "mine"})
            >>> store.missing()
            0
        """
        return len(self.glance(lambda record: None).missing)

    def stale(self) -> list[Path]:
        """Find the files of cells that the plan does not name, and those that were set aside.

        Returns:
            Their paths.

        Raises:
            StudyError: the study has no plan.

        Examples:
            >>> store = ms.study.Store("cells", {"name": "mine"})
            >>> store.plan([])
            >>> store.write(r.records[0])
            >>> len(store.stale())
            1
        """
        planned = self.planned()
        if planned is None:
            raise StudyError(
                f"{self.path} has no plan: expected planned.json, which says what is stale; run the study again."
            )
        return [*(self._file(cell) for cell in sorted(self._files() - set(planned))), *self.set_aside()]

    def remove_stale(self) -> list[str]:
        """Remove what ``stale`` names.

        Returns:
            The names of the files.

        Raises:
            StudyError: the study has no plan, or a process is at work in the folder.

        Examples:
            >>> store = ms.study.Store("cells", {"name": "mine"})
            >>> store.plan([])
            >>> store.write(r.records[0])
            >>> len(store.remove_stale()), store.stale()
            (1, [])
        """
        gone = self.stale()
        if present(self.path / "running"):
            raise StudyError(
                f"A process is at work in {self.path}: expected none while files are removed; try again later."
            )
        for path in gone:
            path.unlink(missing_ok=True)
        return [path.name for path in gone]

    def set_aside(self) -> list[Path]:
        """Find the files that could not be believed and were set aside.

        Returns:
            Their paths.

        Examples:
            >>> store = ms.study.Store("cells", {"name": "mine"})
            >>> store.set_aside()
            []
        """
        return sorted(p for folder in (self.path, self._cells) if folder.is_dir() for p in folder.glob("*.aside-*"))

    def _files(self) -> set[str]:
        """The cells that there are files of; names of any other form are of other programs."""
        if not self._cells.is_dir():
            return set()
        names = (p.name for p in self._cells.iterdir())
        return {name[:-5] for name in names if name.endswith(".json") and NAME.fullmatch(name[:-5])}

    def _file(self, cell: str) -> Path:
        return Path(self._place(cell))

    def _place(self, cell: str) -> str:
        if not NAME.fullmatch(cell):
            raise StudyError(f"{cell!r} names no cell: expected 16 hex digits.")
        return f"{self._cells}/{cell}.json"

    def _refuse_mixed(self, record: Record, known: dict[str, str]) -> None:
        for end in (record.bottom, record.top):
            if end.fingerprint and known.setdefault(end.name, end.fingerprint) != end.fingerprint:
                raise StudyError(
                    f"{self.path} holds cells of two networks named {end.name!r} and no plan that says which belong to "
                    "the study: run it again, which writes its plan, or move the old cells away."
                )


@contextmanager
def working(folder: Path) -> Iterator[Path]:
    """Keep a file of this process in ``folder`` meanwhile; one that is killed leaves it, and counts no longer."""
    make_folder(folder)
    mine = temporary(folder, "running")
    try:
        write_atomic(mine, b"")
        yield mine
    finally:
        with contextlib.suppress(OSError):
            mine.unlink(missing_ok=True)
            folder.rmdir()  # stays where another one is at work


def present(folder: Path) -> list[str]:
    """Names of the files of processes that are at work."""
    if not folder.is_dir():
        return []
    found = []
    for path in sorted(folder.glob(".tmp-*.running")):
        with contextlib.suppress(FileNotFoundError):  # it has just ended
            if not is_left_behind(path):
                found.append(path.name)
    return found
