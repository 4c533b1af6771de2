"""One sweep: all missing cells that share a bottom and a top, fitted and measured together."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from ...engine.fit.closed import collect, look_again, solve
from ...engine.fit.loop import fits, train
from ...engine.fit.memory import attempt, chunks, solved_bytes, stream_bytes, tiles
from ...engine.fit.normalisation import settle
from ...engine.fit.options import MATCH, SOLVED
from ...engine.fit.sensitivity import weigh
from ...engine.senders import NetworkSender, Sender
from ...engine.sweep import Stream, Sweep, Tick, derive
from ...errors import StudyError
from ...network import Network
from ...support.progress import Tell
from ...support.ranks import current
from ...support.resume import Unfinished
from ..plan import Cell
from .bench import Bench, left, sums_left
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
    ranks.agree("comparison", [cell.hash for cell in cells])


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
    done, total = 0, _work(cells, bench) * len(parts)

    def tick(amount: int) -> None:
        nonlocal done
        done += amount
        if tell:
            tell(f"{cells[0].sweep.kind if below is None else below.name} -> {top.name}", min(done, total), total)

    for size, part in parts:
        spare = max(0, bench.memory - size)
        some = [cells[i] for i in part]
        states = [left(cells[0], bench, start) for start in range(_starts(some))]
        for fitted in _chunk(some, bench, tick, spare, states):
            if len(parts) > 1:
                fitted.stream.moments = None  # which would keep the sums of this part while the next ones are made
            yield fitted
        for unfinished in states:
            if unfinished is not None:
                unfinished.clear()


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


def _chunk(
    cells: Sequence[Cell], bench: Bench, tick: Tick, spare: int, states: Sequence[Unfinished | None]
) -> list[Fitted]:
    started = time.monotonic()
    jobs = _fitted(cells, bench, tick, spare, states)
    sums = sums_left(cells, jobs[0].sweep, bench)
    found = measure(jobs, bench, started - sum(unfinished.before for unfinished in states if unfinished))
    if sums is not None and bench.sums is None:
        sums.clear()
    order = [cell.hash for cell in cells]
    return sorted(found, key=lambda fitted: order.index(fitted.record.cell))


def _fitted(
    cells: Sequence[Cell], bench: Bench, tick: Tick, spare: int, states: Sequence[Unfinished | None]
) -> list[SweepJob]:
    """Fit cells from as many starts as there are states, a later one only where the best so far has failed.

    Returns:
        The jobs of all starts, each with those of its cells for which it is the best one on validation data.
    """
    jobs: list[SweepJob] = []
    best: dict[str, Stream] = {}
    taken = Counter[str]()
    for start, unfinished in enumerate(states):
        some = [cell for cell in cells if start == 0 or (start < cell.starts and _failed(best[cell.hash]))]
        if not some:
            tick(_steps(cells, bench))
            continue
        job = _started(job_of(some, bench, tick, spare, start), start, bench, unfinished)
        jobs.append(job)
        taken.update(stream.key for stream in job.streams)
        best |= {s.key: s for s in job.streams if s.key not in best or _rank(s) < _rank(best[s.key])}
    for stream in best.values():
        if taken[stream.key] > 1:
            stream.notes.append(f"the best of {taken[stream.key]} starts, by validation error")
    return [part for job in jobs if (part := _part(job, best)).cells]


def _started(job: SweepJob, start: int, bench: Bench, unfinished: Unfinished | None) -> SweepJob:
    begun, state = _taken_up(job.cells, job.sweep, unfinished)
    (sweep, streams), _ = attempt(lambda s: _fit(job.cells, s, start, bench, unfinished, state), begun)
    return replace(job, sweep=sweep, streams=streams)


def _failed(stream: Stream) -> bool:
    """Whether a fit has not shown what it is for: that it does as well as the top alone."""
    return stream.behind is None or stream.behind > 0


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
) -> tuple[Sweep, list[Stream]]:
    """Fit all cells; a retry with a smaller batch starts anew, the sender's statistics included."""
    sweep = replace(sweep, sender=_sender(cells, sweep, start, bench))
    streams = [open_cell(cell, sweep.sender, sweep.top, bench) for cell in cells]
    collect(streams, sweep, sums_left(cells, sweep, bench))
    look_again(streams, sweep)
    solve(streams, sweep)
    weigh(streams, sweep)
    train(streams, sweep, unfinished, state)
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
