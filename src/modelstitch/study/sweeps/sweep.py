"""One sweep: all missing cells that share a bottom and a top, fitted and measured together."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch

from ...engine.fit.closed import collect, look_again, solve, takes_all
from ...engine.fit.loop import fits, train
from ...engine.fit.memory import attempt, chunks, solved_bytes, stream_bytes, tiles
from ...engine.fit.normalisation import settle
from ...engine.fit.options import MATCH, SOLVED
from ...engine.fit.sensitivity import weigh
from ...engine.senders import NetworkSender, Sender
from ...engine.sweep import Stream, Sweep, Tick, derive
from ...errors import StudyError
from ...network import Network
from ...stitchers import family_of
from ...support.progress import Tell
from ...support.ranks import current
from ...support.resume import Pieces, Unfinished
from ..plan import Cell, Shared
from .bench import PIECES, Bench, left, left_together, sums_left, wanted_of
from .job import Fitted, SweepJob, job_of, measure, open_cell


def check_shared(cells: Sequence[Cell]) -> None:
    """Where processes share the work, refuse cells that they cannot share, and cells that are not the same on all.

    Raises:
        StitchError: something but closed forms between donors whose statistics stay as they are; another process
            failed, or was asked something else.
    """
    ranks = current()
    if ranks is None:
        return
    for cell in cells:
        for key, wanted in (("objective", "match"), ("normalisation", "frozen")):
            if cell.config[key] != wanted:
                raise StudyError(
                    f"Processes share the sums of closed forms alone: expected {key}={wanted!r}, found "
                    f"{cell.config[key]!r}; ask for the others in one process, or run shards of a study."
                )
    ranks.agree([cell.hash for cell in cells])


@torch.inference_mode(False)
@torch.enable_grad()
def run_sweep(cells: Sequence[Cell], bench: Bench, *, tell: Tell | None = None) -> Iterator[Fitted]:
    """Fit and measure cells of one sweep key, in as many chunks as the memory budget asks for.

    Each is handed out when done.

    Gradients are there whatever mode the caller is in, who finds it unchanged.

    Raises:
        StitchError: whatever is wrong with a seam, the data or the networks, in one sentence.
    """
    top, below = bench.networks[cells[0].config["top"]["name"]], bench.below(cells[0])
    parts = chunked(cells, below or top, top, bench)
    ticks = _Ticks(tell, _work(cells, bench) * len(parts))
    for size, part in parts:
        some, states = [cells[i] for i in part], _states(cells, bench)
        jobs = _fitted(some, bench, ticks.of(cells, bench), max(0, bench.memory - size), states)
        sums = sums_left(some, jobs[0].sweep, bench)
        found = _in_order(measure(jobs, bench), some)
        if sums is not None and bench.sums is None:
            sums.clear()
        for fitted in found:
            if len(parts) > 1:
                fitted.stream.moments = None  # which would keep the sums of this part while the next ones are made
            yield fitted
        _clear(states)


class Reading(NamedTuple):
    """Sweeps whose test split is read at once.

    Attributes:
        groups: the cells of each that are to be run.
        pieces: where the state of the measurement is left; None where it is left nowhere.
    """

    groups: Sequence[Sequence[Cell]]
    pieces: Pieces | None = None


def readings(groups: Sequence[Sequence[Cell]], bench: Bench) -> list[Reading]:
    """The sweeps in those whose test split is read at once: fitted controls of one top, as many as memory takes.

    What is asked about, a pair, is recorded as soon as it is fitted. A control that waits for the others leaves its
    fitted maps behind, and a stop loses no more than the sums of a start.
    What takes longer before or after its steps is measured by itself: closed forms over all fit samples, statistics
    that are taken anew, donors that are trained further; and all where processes share the pass.

    States bear the name of all cells that were asked for, also of those that are recorded by now.
    """
    found, inside = list[Reading](), set[str]()
    for together in _together(bench.sweeps(groups), bench) if current() is None else []:
        part, pieces = wanted_of(groups, together), left_together(together, bench)
        if part:
            found.append(Reading(part, pieces))
            inside |= {cell.hash for group in part for cell in group}
        elif pieces is not None:
            for name in PIECES:
                pieces.piece(name)
            pieces.clear()  # it was stopped between its last record and the end of its state
    found += (Reading([group]) for group in groups if group[0].hash not in inside)
    order = {cell.hash: at for at, group in enumerate(groups) for cell in group}
    return sorted(found, key=lambda reading: order[reading.groups[0][0].hash])


def _together(groups: Sequence[Sequence[Cell]], bench: Bench) -> list[list[Sequence[Cell]]]:
    """Controls of one top, seed and samples that may wait for each other, in their order; never one alone."""
    found: dict[Shared, list[list[Sequence[Cell]]]] = {}
    held: dict[Shared, int] = {}
    for group in groups:
        size = _waiting_bytes(group, bench)
        if size is None or size > bench.memory:
            continue
        key = group[0].sweep._replace(kind="", bottom="")
        if key not in found or held[key] + size > bench.memory:
            found.setdefault(key, []).append([])
            held[key] = 0
        found[key][-1].append(group)
        held[key] += size
    return [some for parts in found.values() for some in parts if len(some) > 1]


def _waiting_bytes(cells: Sequence[Cell], bench: Bench) -> int | None:
    """What the cells of a sweep hold while they wait to be measured; None where they are not to wait."""
    shared = cells[0].sweep
    if shared.normalisation != "frozen":
        return None
    for cell in cells:
        if (
            cell.config["control"] == "pair"
            or "unfreeze" in cell.config
            or takes_all(cell.config["objective"], family_of(cell.config["family"])[0])
        ):
            return None
    top = bench.networks[shared.top]
    below = bench.networks.get(shared.bottom, top)  # class noise stands at the top's layers
    drawn = 0
    if shared.control is not None and shared.control.draw is not None:
        drawn = sum(p.numel() * p.element_size() for p in below.module.parameters())
    return drawn + sum(cell_bytes(cells, below, top, bench))


@torch.inference_mode(False)
@torch.enable_grad()
def run_reading(
    reading: Reading, bench: Bench, wanted: Callable[[Sequence[Cell]], bool], *, tell: Tell | None = None
) -> Iterator[Fitted]:
    """Fit sweeps one after the other, then measure all in one read of the test split, each network once over a batch.

    Where one of them fails, those before it are measured, and then it is said.

    Args:
        wanted: whether a sweep is to be fitted after all, asked right before.

    Raises:
        StitchError: as ``run_sweep``.
    """
    if len(reading.groups) == 1:
        if wanted(reading.groups[0]):
            yield from run_sweep(reading.groups[0], bench, tell=tell)
        return
    test = bench.data.size("test")
    ticks = _Ticks(tell, sum(_work(group, bench) - test for group in reading.groups) + test)
    fitted, states, failed = list[Sequence[Cell]](), list[Unfinished | None](), None
    jobs = list[SweepJob]()
    for cells in reading.groups:
        try:
            if wanted(cells):
                own, top = _states(cells, bench), bench.networks[cells[0].sweep.top]
                spare = bench.memory - sum(cell_bytes(cells, bench.below(cells[0]) or top, top, bench))
                jobs += _fitted(cells, bench, ticks.of(cells, bench), max(0, spare), own, stays=True)
                fitted.append(cells)
                states += own
        except Exception as error:
            failed = error
            break
    if jobs:
        yield from _in_order(measure(jobs, bench, reading.pieces), [cell for cells in fitted for cell in cells])
    _clear(states)
    if reading.pieces is not None:
        reading.pieces.clear()
    if failed is not None:
        raise failed


def _states(cells: Sequence[Cell], bench: Bench) -> list[Unfinished | None]:
    """Where the starts of a sweep leave their states."""
    return [left(cells[0], bench, start) for start in range(_starts(cells))]


def _clear(states: Sequence[Unfinished | None]) -> None:
    for unfinished in states:
        if unfinished is not None:
            unfinished.clear()


def _in_order(found: Sequence[Fitted], cells: Sequence[Cell]) -> list[Fitted]:
    """What was measured in the order of its cells, whichever start of theirs is the best."""
    order = {cell.hash: at for at, cell in enumerate(cells)}
    return sorted(found, key=lambda fitted: order[fitted.record.cell])


class _Ticks:
    """Work that several sweeps have done, told under the name of the one that is at it."""

    def __init__(self, tell: Tell | None, total: int) -> None:
        self._tell, self._total, self._done = tell, total, 0

    def of(self, cells: Sequence[Cell], bench: Bench) -> Tick:
        """What hears of the work of one sweep."""
        below, shared = bench.below(cells[0]), cells[0].sweep
        name = f"{shared.kind if below is None else below.name} -> {shared.top}"

        def tick(amount: int) -> None:
            self._done += amount
            if self._tell:
                self._tell(name, min(self._done, self._total), self._total)

        return tick


def _work(cells: Sequence[Cell], bench: Bench) -> int:
    whole = bench.data.size("fit")
    fit = min(cells[0].sweep.samples or whole, cells[0].sweep.budget or whole, whole)
    return fit + bench.data.size("test") + _starts(cells) * _steps(cells, bench)


def _starts(cells: Sequence[Cell]) -> int:
    return max(cell.starts for cell in cells)


def _steps(cells: Sequence[Cell], bench: Bench) -> int:
    """Of one start, at most."""
    stages = max(0 if c.config["objective"] in SOLVED else c.config["objective"].count("+") + 1 for c in cells)
    return stages * bench.spec.steps


def chunked(cells: Sequence[Cell], sender: Network, top: Network, bench: Bench) -> list[tuple[int, list[int]]]:
    """The numbers of the cells of a sweep that the memory budget takes at a time, each part with the bytes it holds.

    Closed forms come in blocks of bottom layers by top layers, whose sums they share; fits in runs of neighbours.
    """
    seams = [(sender.layer(cell.config["bottom"]["layer"]), top.layer(cell.config["top"]["layer"])) for cell in cells]
    if all(cell.config["objective"] == MATCH for cell in cells):
        rows = bench.data.size("fit") * max(math.prod(above.positions) for _, above in seams)
        blocks = tiles(seams, rows, bench.memory, bench.spec.sums)
        return [(solved_bytes([seams[i] for i in some], rows, bench.spec.sums), some) for some in blocks]
    sizes = cell_bytes(cells, sender, top, bench)
    return [(sum(sizes[i] for i in run), list(run)) for run in chunks(sizes, bench.memory)]


def cell_bytes(cells: Sequence[Cell], sender: Network, top: Network, bench: Bench) -> list[int]:
    """What each cell of a sweep holds in bytes."""
    return [
        stream_bytes(
            sender.layer(c.config["bottom"]["layer"]),
            top.layer(c.config["top"]["layer"]),
            bench.spec.batch_size,
            solved=c.config["objective"] == MATCH,
        )
        for c in cells
    ]


def _fitted(
    cells: Sequence[Cell],
    bench: Bench,
    tick: Tick,
    spare: int,
    states: Sequence[Unfinished | None],
    *,
    stays: bool = False,
) -> list[SweepJob]:
    """Fit cells from as many starts as there are states, a later one only where the best so far has failed.

    Args:
        stays: they are not measured at once: what was fitted is left in the states.

    Returns:
        The jobs of all starts, each with those of its cells for which it is the best one on validation data.
    """
    began = time.monotonic()
    jobs: list[SweepJob] = []
    best: dict[str, Stream] = {}
    taken = Counter[str]()
    for start, unfinished in enumerate(states):
        some = [cell for cell in cells if start == 0 or _goes_on(cell, start, best)]
        if not some:
            tick(_steps(cells, bench))
            continue
        job = _started(job_of(some, bench, tick, spare, start), start, bench, unfinished, stays=stays)
        jobs.append(job)
        taken.update(stream.key for stream in job.streams)
        best |= {s.key: s for s in job.streams if s.key not in best or _rank(s) < _rank(best[s.key])}
    for stream in best.values():
        if taken[stream.key] > 1:
            stream.notes.append(f"the best of {taken[stream.key]} starts, by validation error")
    before = sum(unfinished.before for unfinished in filter(None, states))
    each = (time.monotonic() - began + before) / len(cells)
    return [replace(part, seconds=each * len(part.cells)) for job in jobs if (part := _part(job, best)).cells]


def _started(job: SweepJob, start: int, bench: Bench, unfinished: Unfinished | None, *, stays: bool) -> SweepJob:
    begun, state = _taken_up(job.cells, job.sweep, unfinished)
    (sweep, streams), _ = attempt(lambda s: _fit(job.cells, s, start, bench, unfinished, state, stays=stays), begun)
    return replace(job, sweep=sweep, streams=streams)


def _goes_on(cell: Cell, start: int, best: Mapping[str, Stream]) -> bool:
    """Whether a later start is taken: the best fit so far has not shown that it does as well as the top alone."""
    behind = best[cell.hash].behind
    return start < cell.starts and (behind is None or behind > 0)


def _rank(stream: Stream) -> tuple[float, float]:
    """How good a start is, the best one first; one without a finite output is the last."""
    return (math.inf, math.inf) if stream.failed or stream.kept is None else stream.kept


def _part(job: SweepJob, best: Mapping[str, Stream]) -> SweepJob:
    """The cells of a job whose streams are the best ones."""
    mine = [(cell, stream) for cell, stream in zip(job.cells, job.streams) if best[cell.hash] is stream]
    return replace(job, cells=[cell for cell, _ in mine], streams=[stream for _, stream in mine])


def _taken_up(
    cells: Sequence[Cell], sweep: Sweep, unfinished: Unfinished | None
) -> tuple[Sweep, dict[str, Any] | None]:
    """The sweep in the batches that memory had room for when it was stopped, and the state that it left."""
    state = None if unfinished is None else unfinished.read()
    if unfinished is None or state is None:
        return sweep, state
    smaller = replace(sweep, spec=sweep.spec.model_copy(update={"batch_size": state["batch size"]}))
    if fits(state, [cell.hash for cell in cells], smaller):
        return smaller, state
    unfinished.before = 0.0  # of other cells: begun anew
    return sweep, state


def _fit(
    cells: Sequence[Cell],
    sweep: Sweep,
    start: int,
    bench: Bench,
    unfinished: Unfinished | None,
    state: dict[str, Any] | None,
    *,
    stays: bool,
) -> tuple[Sweep, list[Stream]]:
    """Fit all cells; a retry with a smaller batch starts anew, the sender's statistics included."""
    sweep = replace(sweep, sender=_sender(cells, sweep, start, bench))
    streams = [open_cell(cell, sweep.sender, sweep.top, bench) for cell in cells]
    collect(streams, sweep, sums_left(cells, sweep, bench))
    look_again(streams, sweep)
    solve(streams, sweep)
    weigh(streams, sweep)
    train(streams, sweep, unfinished, state, stays=stays)
    settle(streams, sweep)
    return sweep, streams


def _sender(cells: Sequence[Cell], sweep: Sweep, start: int, bench: Bench) -> Sender:
    """What sends in these cells: a network, or what stands in for one, which every start draws anew."""
    control, below = cells[0].sweep.control, bench.below(cells[0])
    if below is None:
        assert control is not None
        assert control.sender is not None
        return control.sender(sweep.top, sweep.data, derive(sweep.seed, "start", str(start)) if start else sweep.seed)
    frozen = sweep.normalisation == "frozen"
    return NetworkSender(below, own=None if frozen else [cell.config["bottom"]["layer"] for cell in cells])
