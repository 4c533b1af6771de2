"""Run a plan: what the store holds is kept, what is missing is fitted, and the donors are proved unchanged.

Also who hears of it: the user's hook, and the files of TensorBoard, which are written through it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..engine.alone import introduce, told
from ..engine.fit.tensorboard import writing
from ..engine.sweep import Watch
from ..errors import StudyError
from ..network import Network
from ..network.trace.digest import forget
from ..records.record import Record
from ..support.memory import out_of_memory
from ..support.progress import Event, OnEvent, Tell, Teller, notes, say
from ..support.ranks import current, first, writes
from ..support.resume import tidy
from .engines import Engine, local
from .needs import Needs, needs_of
from .plan import Cell, PlannedDonor, Shard, in_company, sweeps_of, title_of
from .prepared import Prepared, with_members
from .question import Question
from .store import Store
from .sweeps.bench import Bench, left
from .sweeps.grouped import check_shared
from .sweeps.measured import unmeasured


def run(
    asked: Prepared,
    *,
    store: Store | None = None,
    device: str = "auto",
    tell: Tell | None = None,
    watch: Watch | None = None,
    finished: Callable[[Record], None] | None = None,
    memory: float | None = None,
    engine: Engine = local.run,
    whole: bool = False,
    shard: Shard | None = None,
    sums: Path | None = None,
    activations: str | Path | None = None,
    left_out: list[str] | None = None,
) -> list[Record]:
    """Plan all cells of a question, run the missing ones, and return every record in the plan's order.

    What the donors do alone is looked at, and said to ``tell``, before anything is fitted.

    Args:
        finished: hears of every cell that is run here.
        memory: the budget of a sweep in gigabytes, 2 by default.
        engine: runs the sweeps, this process by default.
        whole: these cells are the whole of the store, or of the part of it that is asked for: it keeps their list, to
            say what is missing.
        shard: run and return these cells alone, and look at their donors.
        sums: a folder where sums stay, see ``Bench``.
        activations: a folder where what the networks give stays, see ``Prepared.keeping``.
        left_out: is told of seams that a family has no member for.

    Raises:
        StudyError: if the budget is not above 0, two donors share a name, or a donor changed while it was used.
        DataError: if the networks or the controls do not fit the data.
    """
    _check_alone(engine)
    store = store if writes() else None
    donors, every = _planned(asked, store if whole else None, left_out)
    cells = _share(every, shard)
    bench = (asked if activations is None else asked.keeping(activations, every)).bench(device, memory, watch)
    bench.unfinished, bench.sums = None if store is None else store.path / "unfinished", sums
    there = first("the finished cells", lambda: _kept(cells, store))
    missing = [cell for cell in cells if cell.hash not in there]
    _introduce(cells, every, there, bench, asked.question, tell)
    _tidy_states(cells, missing, bench)
    failed, able = _failed(missing, bench)
    for record in itertools.chain(failed, engine(sweeps_of(able), bench, tell)):
        if record.cell not in there:  # else of a family that was stopped among its records
            if store is not None:
                store.write(record)
            if finished is not None:
                finished(record)
            there[record.cell] = record
    if bench.unfinished is not None:
        tidy(bench.unfinished)
    _check_frozen(asked.networks, donors)
    return [there[cell.hash] for cell in cells]


def _check_alone(engine: Engine) -> None:
    """Refuse an engine of several processes in one of several that share a pass."""
    if current() is not None and engine is not local.run:
        raise StudyError(
            "Processes that share a pass need no engine beside: expected engine='local' and one worker in each; run "
            "it so."
        )


def _planned(
    asked: Prepared, store: Store | None, left_out: list[str] | None
) -> tuple[dict[str, PlannedDonor], list[Cell]]:
    """What a plan knows of the donors, and the cells of a question; a store that is to hold them all keeps their list.

    ``left_out`` is told of seams that a family has no member for.
    """
    donors, cells = asked.planned()
    if left_out is not None:
        cells, notes = with_members(cells, asked.named)
        left_out += notes
    check_shared(cells)
    if store is not None:
        store.plan([cell.hash for cell in cells])
    return donors, cells


def _share(cells: list[Cell], shard: Shard | None) -> list[Cell]:
    return cells if shard is None else in_company(cell for cell in cells if shard.takes(cell.hash))


def _kept(cells: Sequence[Cell], store: Store | None) -> dict[str, Record]:
    """The records of finished cells, by their names; one that was lost is none."""
    if store is None:
        return {}
    found = ((cell.hash, store.kept(cell.hash)) for cell in cells)
    return {name: record for name, record in found if record is not None and not record.lost}


def _introduce(
    cells: Sequence[Cell],
    every: Sequence[Cell],
    there: Mapping[str, Record],
    bench: Bench,
    question: Question,
    tell: Tell | None,
) -> None:
    """Say what is to be run, and what the donors do alone: from a look at them, or from what records keep of it.

    Args:
        cells: of this share of ``every`` cell; what is expected is expected of all donors.
        there: the records of those that are finished.
    """
    expected = question.expected_error
    bench.few = expected is None
    if missing := len(there) < len(cells):
        announce(cells, bench, tell, there)
    if missing or expected is not None:
        introduce(bench.all_donors(cells if expected is None else every), tell, expected, question.error_tolerance)
    if not missing:
        known = {name: facts for record in there.values() for name, facts in (record.donors or {}).items()}
        for name, facts in known.items():
            say(tell, told(name, facts))


def announce(cells: Sequence[Cell], bench: Bench, tell: Tell | None, kept: Collection[str] = ()) -> None:
    """Say what is to be run, and about how long it takes, to a listener that hears sentences."""
    noted = notes(tell)
    if noted is None:
        return
    try:
        needs = needs_of(cells, bench, kept)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        needs = needs_of(cells, bench, kept, timed=False)  # the run halves its batches
    noted(needs.line())


def _tidy_states(cells: Sequence[Cell], missing: Sequence[Cell], bench: Bench) -> None:
    """Clear what sweeps left of which all is recorded: a run may have been stopped before it did."""
    states = bench.unfinished is not None and bench.unfinished.is_dir()
    bench.asked = cells if missing or states else ()
    begun = {cell.sweep for cell in missing}
    for cell in cells if states else ():
        unfinished = left(cell, bench) if cell.sweep not in begun else None
        if unfinished is not None:
            unfinished.clear()


def _failed(missing: Sequence[Cell], bench: Bench) -> tuple[list[Record], list[Cell]]:
    """The records of cells whose donors gave no numbers, which say why; and the other cells."""
    failed = [unmeasured(cell, why, bench) for cell in missing if (why := bench.fails(cell))]
    return failed, [cell for cell in missing if not bench.fails(cell)]


def _check_frozen(networks: Sequence[Network], donors: Mapping[str, PlannedDonor]) -> None:
    forget()
    for network in networks:
        if network.fingerprint() != donors[network.name].fingerprint:
            raise StudyError(
                f"The donor {network.name!r} changed while it was stitched: expected frozen weights and buffers; "
                "do not train or move it meanwhile."
            )


def plan_run(
    asked: Prepared,
    *,
    store: Store | None = None,
    device: str = "auto",
    memory: float | None = None,
    shard: Shard | None = None,
    timed: bool = True,
) -> Needs:
    """What ``run`` with these arguments will take; nothing is fitted, and nothing written.

    Args:
        timed: measure batches, for an estimate in seconds.
        store: the folder as it lies there, see ``Store.beheld``.

    Raises:
        StudyError, DataError: as ``run`` before it fits anything.
    """
    cells = _share(asked.planned()[1], shard)
    kept = store.believed(cell.hash for cell in cells) if store is not None else ()
    return needs_of(cells, asked.bench(device, memory), kept, timed=timed)


@dataclass(frozen=True)
class Heard:
    """The ways by which events come.

    Attributes:
        tell: hears progress.
        watch: hears of every look at the validation split; None where nobody wants to.
        finished: hears of every finished cell.
    """

    tell: Tell | None
    watch: Watch | None
    hooks: tuple[OnEvent, ...] = ()

    def finished(self, record: Record) -> None:
        """A cell is done."""
        for hook in self.hooks:
            hook(event_of(record))


@contextmanager
def hearing(on_event: OnEvent | None, tensorboard: str | Path | None, tell: Tell | None) -> Iterator[Heard]:
    """Listeners for a run.

    Args:
        on_event: the user's hook.
        tensorboard: a folder for curves.
        tell: as the user gave it.

    Raises:
        MissingExtraError: a folder is given, and TensorBoard is not installed.
    """
    with ExitStack() as stack:
        hooks = tuple(
            hook
            for hook in (on_event, None if tensorboard is None else stack.enter_context(writing(tensorboard)))
            if hook is not None
        )

        def watch(what: str, step: int, values: dict[str, float]) -> None:
            for hook in hooks:
                hook(Event("look", what, step, values=values))

        def told(what: str, done: int, total: int) -> None:
            if tell is not None:
                tell(what, done, total)
            for hook in hooks:
                hook(Event("progress", what, done, total))

        teller = Teller(told, partial(say, tell))
        teller.note = notes(tell)
        yield Heard(teller, watch, hooks) if hooks else Heard(tell, None)


def event_of(record: Record) -> Event:
    """A finished cell as an event."""
    values: dict[str, float] = {}
    for metric in record.metrics:
        ends = {"": metric.value, "/low": metric.low, "/high": metric.high}
        values |= {f"{metric.name}{end}": value for end, value in ends.items() if value is not None}
    return Event("cell", title_of(record.config), values=values)
