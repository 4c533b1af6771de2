"""Fit the cells of sweeps, from as many starts as they take, and hand them on to be measured."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from ...data.tasks import Task
from ...engine.fit.closed import collect, collect_together, look_again, solve
from ...engine.fit.loop import fits, train
from ...engine.fit.memory import attempt
from ...engine.fit.normalisation import settle
from ...engine.fit.objectives import stages
from ...engine.fit.options import MATCH, SOLVED
from ...engine.fit.sensitivity import weigh
from ...engine.senders import Company, NetworkSender, Sender
from ...engine.sweep import Stream, Sweep, Tick, Watch, derive, open_stream
from ...errors import MeasureError, NonFiniteError, ShapeError, StudyError
from ...network import Network
from ...stats.chance import FAR
from ...stitchers import family_of
from ...support.progress import Tell
from ...support.resume import Pieces, Unfinished
from ..plan import Cell, Shared, title_of
from .bench import Bench, left, sums_left
from .grouped import Reading, SweepCells, cell_bytes, chunked
from .measured import Fitted, SweepJob, measure


@torch.inference_mode(False)
@torch.enable_grad()
def run_sweeps(
    reading: Reading,
    bench: Bench,
    wanted: Callable[[SweepCells], bool] = lambda cells: True,
    *,
    tell: Tell | None = None,
) -> Iterator[Fitted]:
    """Fit sweeps one after the other, then measure all in one read of the test split, each network once over a batch.

    One that comes alone is fitted and measured in as many parts as the memory budget asks for. Where one of several
    fails, those before it are measured, and then it is said.

    Gradients are there whatever mode the caller is in, who finds it unchanged.

    Args:
        wanted: whether a sweep is to be fitted after all, asked right before.

    Raises:
        StitchError: whatever is wrong with a seam, the data or the networks, in one sentence.
    """
    groups, several = reading.groups, len(reading.groups) > 1
    if not several and not wanted(groups[0]):
        return
    rounds = _rounds(groups, bench)
    work = sum(_work(some, bench) for parts in rounds for _, some in parts)
    ticks = _Ticks(tell, work + len(rounds) * bench.data.size("test"))
    for parts in rounds:
        jobs, states, failed = list[SweepJob](), list[Unfinished | None](), None
        for size, cells in parts:
            try:
                if not several or wanted(cells):
                    own = _states(cells, bench)
                    tick = ticks.under(_title(cells, bench))
                    jobs += _fitted(cells, bench, tick, max(0, bench.memory - size), own, stays=several)
                    states += own
            except Exception as error:
                failed = error
                break
        for fitted in _recorded(jobs, [cell for _, cells in parts for cell in cells], bench, reading.pieces):
            if len(rounds) > 1:
                fitted.stream.moments = None  # which would keep the sums of this part while the next ones are made
            yield fitted
        _clear(*states, reading.pieces)
        if failed is not None:
            raise failed


def _rounds(groups: Sequence[SweepCells], bench: Bench) -> list[list[tuple[int, SweepCells]]]:
    """What is measured together, with the bytes that it holds: several sweeps, or a part of one that comes alone."""
    if len(groups) > 1:
        return [[(sum(cell_bytes(some, bench)), some) for some in groups]]
    return [[part] for part in chunked(groups[0], bench)]


def _states(cells: SweepCells, bench: Bench) -> list[Unfinished | None]:
    """Where the starts of a sweep leave their states."""
    return [left(cells[0], bench, start) for start in range(_starts(cells))]


def _clear(*states: Unfinished | Pieces | None) -> None:
    for state in states:
        if state is not None:
            state.clear()


def _recorded(jobs: Sequence[SweepJob], cells: SweepCells, bench: Bench, pieces: Pieces | None) -> list[Fitted]:
    """What came of jobs, in the order of these cells, whichever start of theirs is the best."""
    if not jobs:
        return []
    order = {cell.hash: at for at, cell in enumerate(cells)}
    found = sorted(measure(jobs, bench, pieces), key=lambda fitted: order[fitted.record.cell])
    sums = sums_left(jobs[0].cells, jobs[0].sweep, bench)
    if sums is not None and bench.sums is None:
        sums.clear()
    return found


class _Ticks:
    """Work that several sweeps have done, told under the name of the one that is at it."""

    def __init__(self, tell: Tell | None, total: int) -> None:
        self._tell, self._total, self._done = tell, total, 0

    def under(self, name: str) -> Tick:
        """What hears of work that is told under a name."""

        def tick(amount: int) -> None:
            self._done += amount
            if self._tell:
                self._tell(name, min(self._done, self._total), self._total)

        return tick


def _title(cells: SweepCells, bench: Bench) -> str:
    below, shared = bench.below(cells[0]), cells[0].sweep
    return f"{shared.kind if below is None else below.name} -> {shared.top}"


def _work(cells: SweepCells, bench: Bench) -> int:
    """Of fitting: samples that are summed, and steps."""
    whole = bench.data.size("fit")
    fit = min(cells[0].sweep.samples or whole, cells[0].sweep.budget or whole, whole)
    return fit + _starts(cells) * _steps(cells, bench)


def _starts(cells: SweepCells) -> int:
    return max(cell.starts for cell in cells)


def _steps(cells: SweepCells, bench: Bench) -> int:
    """Of one start, at most."""
    rounds = max(0 if c.config["objective"] in SOLVED else c.config["objective"].count("+") + 1 for c in cells)
    return rounds * bench.spec.steps


def _fitted(
    cells: SweepCells, bench: Bench, tick: Tick, spare: int, states: Sequence[Unfinished | None], *, stays: bool
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
        job = job_of(some, bench, tick, spare, start)
        begun, state = _taken_up(some, job.sweep, unfinished)
        (sweep, streams), _ = attempt(partial(_fit, some, bench, start, unfinished, state, stays), begun)
        jobs.append(replace(job, sweep=sweep, streams=streams))
        taken.update(stream.key for stream in streams)
        best |= {s.key: s for s in streams if s.key not in best or _rank(s) < _rank(best[s.key])}
    for stream in best.values():
        if taken[stream.key] > 1:
            stream.notes.append(f"the best of {taken[stream.key]} starts, by validation error")
    before = sum(unfinished.before for unfinished in filter(None, states))
    each = (time.monotonic() - began + before) / len(cells)
    return [replace(part, seconds=each * len(part.cells)) for job in jobs if (part := _part(job, best)).cells]


def _goes_on(cell: Cell, start: int, best: Mapping[str, Stream]) -> bool:
    """Whether a later start is taken: the best fit so far does not do as well as the top alone, nor is it hopeless."""
    so_far = best[cell.hash]
    return start < cell.starts and not so_far.hopeless and (so_far.behind is None or so_far.behind > 0)


def _rank(stream: Stream) -> tuple[float, float]:
    """How good a start is, the best one first; one without a finite output is the last."""
    return (math.inf, math.inf) if stream.failed or stream.kept is None else stream.kept


def _part(job: SweepJob, best: Mapping[str, Stream]) -> SweepJob:
    """The cells of a job whose streams are the best ones."""
    mine = [(cell, stream) for cell, stream in zip(job.cells, job.streams) if best[cell.hash] is stream]
    return replace(job, cells=[cell for cell, _ in mine], streams=[stream for _, stream in mine])


def _taken_up(cells: SweepCells, sweep: Sweep, unfinished: Unfinished | None) -> tuple[Sweep, dict[str, Any] | None]:
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
    cells: SweepCells,
    bench: Bench,
    start: int,
    unfinished: Unfinished | None,
    state: dict[str, Any] | None,
    stays: bool,
    sweep: Sweep,
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


def _sender(cells: SweepCells, sweep: Sweep, start: int, bench: Bench) -> Sender:
    """What sends in these cells: a network, or what stands in for one, which every start draws anew."""
    control, below = cells[0].sweep.control, bench.below(cells[0])
    if below is None:
        assert control is not None
        assert control.sender is not None
        return control.sender(sweep.top, sweep.data, derive(sweep.seed, "start", str(start)) if start else sweep.seed)
    frozen = sweep.normalisation == "frozen"
    return NetworkSender(below, own=None if frozen else [cell.config["bottom"]["layer"] for cell in cells])


def job_of(cells: SweepCells, bench: Bench, tick: Tick, spare: int, start: int = 0) -> SweepJob:
    """The cells of one sweep with all that fitting them from a start takes; nothing is fitted yet."""
    shared, top, below = cells[0].sweep, bench.networks[cells[0].sweep.top], bench.below(cells[0])
    donors, data = bench.donors(cells[0]), bench.drawn(shared)
    begun = Sweep(
        NetworkSender(top),
        top,
        data,
        bench.spec_of(shared),
        bench.device,
        seed=shared.seed,
        shuffled=shared.control is not None and shared.control.shuffled,
        normalisation=shared.normalisation,
        spare=spare,
        own=bench.losses,
        tick=tick,
        watch=_watching(cells, bench, start),
        enough=_enough(shared, data.task),
    )
    return SweepJob(cells, donors, begun, below if below is not None and _same_task(below, top, data.task) else None)


def _watching(cells: SweepCells, bench: Bench, start: int) -> Watch | None:
    """The listener of looks, who knows stitches by the names that their events have, and later starts by theirs."""
    hear, more = bench.watch, f", start {start + 1}" if start else ""
    titles = {cell.hash: f"{title_of(cell.config)}{more}" for cell in cells}
    return None if hear is None else lambda cell, step, values: hear(titles[cell], step, values)


def _enough(shared: Shared, task: Task) -> tuple[float, float] | None:
    """When a control has said what it is for, as ``Sweep`` has it."""
    far, control = FAR.get(task.unit.partition(" ")[0]), shared.control
    return None if control is None or control.settled is None or far is None else (far, control.settled)


def _same_task(below: Network, top: Network, task: Task) -> bool:
    """Whether the bottom network's own output can be held against the top's labels: it has as many classes.

    In embeddings without labels, and in a given gallery, it cannot: those lie in another network's space.
    """
    if task.foreign:
        return False
    if task.by_class or task.by_position:
        return below.output_shape[-1:] == top.output_shape[-1:]
    return below.output_shape == top.output_shape


def open_cell(cell: Cell, sender: Sender, top: Network, bench: Bench) -> Stream:
    """The stream that is fitted for a cell.

    Raises:
        StudyError: the family has a closed form only, and another objective is asked for.
        ShapeError: nothing of the family leads from the bottom layer to the top one.
    """
    config = cell.config
    family, options = family_of(config["family"])
    objective = config["objective"]
    if objective != MATCH and not family.trainable:
        raise StudyError(
            f"The family {config['family']!r} is solved in closed form only: expected objective 'match', "
            f"found {objective!r}."
        )
    layer, task = config["top"]["layer"], bench.data.task
    later = tuple(
        dict.fromkeys(n for stage in stages(objective, top, layer, bench.spec, bench.losses, task) for n in stage.later)
    )
    try:
        return open_stream(
            cell.hash,
            sender,
            top,
            config["bottom"]["layer"],
            layer,
            family=family,
            options=options,
            objective=objective,
            init=config["init"],
            later=later,
            device=bench.device,
            own=config["normalisation"] != "frozen",
        )
    except ShapeError as error:
        raise ShapeError(f"{sender.name}@{config['bottom']['layer']} -> {top.name}@{layer}: {error}") from error


@torch.inference_mode(False)
@torch.enable_grad()
def run_family(reading: Reading, bench: Bench, *, tell: Tell | None = None) -> Iterator[Fitted]:
    """Solve and measure closed forms between many networks, each of which runs once over a batch.

    Sums that are not finite, or do not fit, leave all to ``run_sweeps``, which names the layer.

    Raises:
        StitchError: as ``run_sweeps``.
    """
    started, groups, pieces = time.monotonic(), reading.groups, reading.pieces
    names = {name for group in groups for name in (group[0].sweep.bottom, group[0].sweep.top)}
    company = Company({name: bench.networks[name] for name in bench.networks if name in names})
    ticks = _Ticks(tell, bench.drawn(groups[0][0].sweep).size("fit") + bench.data.size("test"))
    tick = ticks.under(f"{len(groups)} pairs of {company.name}")
    jobs = [job_of(group, bench, tick, bench.memory) for group in groups]
    for job in jobs:
        job.sweep = replace(job.sweep, sender=NetworkSender(bench.networks[job.cells[0].sweep.bottom]))
        job.streams = [open_cell(cell, job.sweep.sender, job.sweep.top, bench) for cell in job.cells]
    if _summed(jobs, company, None if pieces is None else pieces.piece("sums")):
        for job in jobs:
            look_again(job.streams, job.sweep)
            solve(job.streams, job.sweep)
        each = (time.monotonic() - started) / sum(len(job.cells) for job in jobs)
        for job in jobs:
            job.seconds = each * len(job.cells)
        yield from measure(jobs, bench, pieces, apart=False)
    else:
        for group in groups:
            yield from run_sweeps(Reading([group]), bench, tell=tell)
    if pieces is not None:
        pieces.clear()  # all records are on their way to the disk, or there


def _summed(jobs: Sequence[SweepJob], company: Company, sums: Unfinished | None) -> bool:
    """Give all streams their sums, from one pass; whether these are finite, and fit."""
    streams = {}
    for job in jobs:
        below, top = job.cells[0].sweep.bottom, job.sweep.top.name
        for stream in job.streams:
            keys = company.key(below, stream.bottom_layer), company.key(top, stream.top_layer)
            streams[id(stream)] = replace(stream, bottom_layer=keys[0], top_layer=keys[1])
    sender: Any = company  # which receives, too
    try:
        found = collect_together(list(streams.values()), replace(jobs[0].sweep, sender=sender, top=sender), sums)
    except (NonFiniteError, MeasureError):
        return False
    for stream in (stream for job in jobs for stream in job.streams):
        stream.moments = streams[id(stream)].moments
    return found
