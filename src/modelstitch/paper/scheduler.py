"""Several processes at one job: each takes the first piece for which all is there; nothing is done twice."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from ..errors import StudyError
from ..support.crew import LostError, Worker, answered, portable
from .figure import Figure
from .job import Job
from .pieces import Piece, pieces

Open = Callable[[], Job]


def together(figures: Sequence[Figure], job: Job, open_job: Open, pages: Path, workers: int) -> Iterator[list[str]]:
    """Run figures in so many processes, and yield a page's lines as soon as it is written.

    What they measure is what one process would, up to the last digits that depend on the number of threads: on a CPU
    they share this process's threads.

    Args:
        job: this process's own, for the plan and for progress.
        open_job: opens the same job in another process; it is pickled.
        pages: where pages are written.

    Raises:
        StitchError: what went wrong in one of them, which stops the others; what is finished is kept, and of trainings
            and fits the state of the last minute.
        StudyError: if a process was killed.
    """
    todo, done = pieces(figures, job), set[str]()
    total = len(todo)
    count = min(workers, total)
    crew: list[Worker] = []
    with job.store.begun(), contextlib.ExitStack() as stack:
        for _ in range(count):
            crew.append(Worker(partial(_work, open_job, pages, max(1, torch.get_num_threads() // count))))
            stack.callback(crew[-1].stop)
        while todo or any(worker.piece for worker in crew):
            for worker in crew:
                busy = {other.piece.alone for other in crew if other.piece}
                if worker.piece is None and (piece := _next(todo, done, busy)):
                    todo.remove(piece)
                    worker.give(piece)
            for worker in answered(crew):
                piece, lines = _take(worker)
                done.add(piece.key)
                if job.tell:
                    job.tell(f"pieces, by {count} processes", len(done), total)
                if lines:
                    yield lines


def _next(todo: Sequence[Piece], done: set[str], busy: set[str]) -> Piece | None:
    """The first piece whose needs are met and that disturbs no other."""
    return next((p for p in todo if p.needs <= done and not (p.alone and p.alone in busy)), None)


def _take(worker: Worker) -> tuple[Piece, list[str]]:
    """The piece that a worker has done, and the lines of a page."""
    piece: Piece = worker.piece
    try:
        lines: list[str] = worker.answer()
    except LostError as error:
        hint = "): use fewer --workers" if error.code < 0 else ")"
        raise StudyError(
            f"A process that worked on figure {piece.figure} ended without a word ({error.why}{hint}; what is "
            f"finished is kept."
        ) from error
    worker.piece = None
    return piece, lines


def _work(open_job: Open, pages: Path, threads: int, pipe: Connection[Any, Any]) -> None:
    """The life of another process: until the pipe is closed."""
    torch.set_num_threads(threads)
    job: Job | None = None
    while True:
        piece: Piece = pipe.recv()
        try:
            job = job or open_job()
            answer: Any = piece.done(job, pages)
        except Exception as error:
            answer = portable(error)
        pipe.send(answer)
