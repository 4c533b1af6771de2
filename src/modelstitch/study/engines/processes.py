"""The local engine with several processes: each takes the next sweep.

Records come back to this process, which stores them.

A worker opens the donors and the data by the names of the study, and shows by their fingerprints that they are those
that it was planned with. What kills its process, hangs or takes all memory costs itself: its cells are run again, each
alone, and one that is lost again has a record that says so, which the next run of the study does not take for an
answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from ...errors import FitError
from ...records.record import LOST, Record
from ...support.crew import LostError, Worker, answered, portable
from ...support.memory import out_of_memory
from ...support.progress import Tell
from ..plan import Cell, in_company
from ..sweeps.bench import Bench, left
from ..sweeps.fitted import run_sweeps
from ..sweeps.grouped import Reading
from ..sweeps.measured import unmeasured
from . import Engine, OpenBench
from .local import Batchwork, check_same, tasks

SILENT = 1800.0  # seconds without a step, a batch or a record, after which a worker is taken to hang


def engine(open_bench: OpenBench, workers: int, *, silent: float = SILENT) -> Engine:
    """An engine of so many processes, which share this one's threads.

    Args:
        open_bench: what they work on; it is pickled.
        silent: seconds without any progress after which a process is ended, as one that hangs.

    Raises:
        StitchError: (when run) what is wrong with a seam, the data or the networks, which stops all; finished cells are
            kept.
    """

    def run(groups: Sequence[list[Cell]], bench: Bench, tell: Tell | None) -> Iterator[Record]:
        todo = tasks(groups, bench)
        total, done = sum(len(cells) for task in todo for cells in task.groups), 0
        life = partial(_work, open_bench, bench.unfinished, max(1, torch.get_num_threads() // max(1, workers)))
        crew: list[Worker] = []
        try:
            while todo or any(worker.piece for worker in crew):
                crew += [Worker(life) for _ in range(min(workers - len(crew), len(todo)))]
                for worker in crew:
                    if worker.piece is None and todo:
                        _give(worker, todo.pop(0))
                for worker, answer in _answers(crew, silent):
                    for record in _taken(worker, answer, crew, todo, bench):
                        yield record
                        done += 1
                        if tell:
                            tell(f"cells, by {workers} processes", done, total)
        finally:
            for worker in crew:
                worker.stop()

    return run


def _give(worker: Worker, task: Batchwork) -> None:
    worker.give(task.groups[0])
    worker.piece, task.heard = task, time.monotonic()


def _taken(
    worker: Worker, answer: Record | str | None, crew: list[Worker], todo: list[Batchwork], bench: Bench
) -> list[Record]:
    """The records that a worker's answer makes; a task that is lost is put back, or has records that say so."""
    task: Batchwork = worker.piece
    if isinstance(answer, str):  # why it is lost
        crew.remove(worker)
        worker.stop()
        lost, found = _again(task, answer, bench)
        todo[:0] = lost
        return found
    if answer is None:
        worker.piece = None
        return []
    return task.records(answer, bench)


def _answers(crew: Sequence[Worker], silent: float) -> Iterator[tuple[Worker, Record | str | None]]:
    """What workers say: a record, None at the end of a task, or why the task is lost."""
    ready = answered(crew, 1.0)
    for worker in ready:
        try:
            answer = worker.answer()
        except LostError as error:
            yield worker, f"its process ended ({error.why})"
            continue
        worker.piece.heard = time.monotonic()
        if answer is not _ALIVE:
            yield worker, answer
    for worker in crew:
        if worker not in ready and worker.piece and time.monotonic() - worker.piece.heard > silent:
            yield worker, f"it made no progress for {silent:,.0f} seconds, and was ended"


def _again(task: Batchwork, why: str, bench: Bench) -> tuple[list[Batchwork], list[Record]]:
    """Tasks of single cells in place of one that was lost; or records that say why, where it was one already."""
    rest = [group[task.came :] for group in task.groups]
    unfinished = left(task.groups[0][0], bench)
    if unfinished is not None:
        unfinished.clear()
    if not task.again:
        return [Batchwork([in_company([cell]) for cell in same], again=True) for same in zip(*rest)], []
    return [], [unmeasured(cell, f"{LOST}{why}, twice", bench) for group in rest for cell in group]


_ALIVE = True  # a sign of life


def _work(open_bench: OpenBench, unfinished: Path | None, threads: int, pipe: Connection[Any, Any]) -> None:
    """The life of another process: until the pipe is closed."""
    torch.set_num_threads(threads)
    bench: Bench | None = None
    said = 0.0

    def alive(what: str, done: int, total: int) -> None:
        nonlocal said
        if time.monotonic() - said > 1.0:
            said = time.monotonic()
            pipe.send(_ALIVE)

    while True:
        cells = pipe.recv()
        try:
            bench = bench or open_bench()
            bench.unfinished = unfinished
            pipe.send(_ALIVE)
            check_same(cells, bench)
            for fitted in run_sweeps(Reading([cells]), bench, tell=alive):
                pipe.send(fitted.record)
            pipe.send(None)
        except FitError as error:
            short = error.__cause__ is not None and out_of_memory(error.__cause__)
            pipe.send("memory ran out" if short else portable(error))
        except MemoryError:
            pipe.send("memory ran out")
        except Exception as error:
            pipe.send(portable(error))
