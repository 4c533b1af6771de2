"""Several processes at one job: each takes the first piece for which all is there; nothing is done twice."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from ..errors import StitchError, StudyError
from .figure import Figure
from .pieces import Piece, pieces
from .run import Job

Open = Callable[[], Job]


def together(figures: Sequence[Figure], job: Job, open_job: Open, pages: Path, workers: int) -> Iterator[list[str]]:
    """Run figures in so many processes, and yield a page's lines as soon as it is written.

    What they measure is what one process would, up to the last digits that depend on the number of threads: on a CPU they share
    this process's threads.

    Args:
        job: this process's own, for the plan and for progress.
        open_job: opens the same job in another process; it is pickled.
        pages: where pages are written.

    Raises:
        StitchError: what went wrong in one of them, which stops the others; what is finished is kept, and of trainings and fits
            the state of the last minute.
        StudyError: if a process was killed.
    """
    todo, done = pieces(figures, job), set[str]()
    total = len(todo)
    count = min(workers, total)
    crew: list[_Worker] = []
    with job.store.begun(), contextlib.ExitStack() as stack:
        for _ in range(count):
            crew.append(_Worker(open_job, pages, max(1, torch.get_num_threads() // count)))
            stack.callback(crew[-1].stop)
        while todo or any(worker.piece for worker in crew):
            for worker in crew:
                busy = {other.piece.alone for other in crew if other.piece}
                if worker.piece is None and (piece := _next(todo, done, busy)):
                    todo.remove(piece)
                    worker.give(piece)
            for worker in _answered(crew):
                piece, lines = worker.take()
                done.add(piece.key)
                if job.tell:
                    job.tell(f"pieces, by {count} processes", len(done), total)
                if lines:
                    yield lines


def _next(todo: Sequence[Piece], done: set[str], busy: set[str]) -> Piece | None:
    """The first piece whose needs are met and that disturbs no other."""
    return next((p for p in todo if p.needs <= done and not (p.alone and p.alone in busy)), None)


class _Worker:
    """Another process that does one piece at a time; through the pipe come its answers, and its end."""

    def __init__(self, open_job: Open, pages: Path, threads: int) -> None:
        context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, open_job, pages, threads), daemon=True)
        self.process.start()
        theirs.close()
        self.piece: Piece | None = None

    def give(self, piece: Piece) -> None:
        with contextlib.suppress(OSError):  # it has gone: take() says so
            self.pipe.send(piece)
        self.piece = piece

    def take(self) -> tuple[Piece, list[str]]:
        """The piece that it has done, and the lines of a page."""
        piece = self.piece
        assert piece is not None
        try:
            answer = self.pipe.recv()
        except (EOFError, OSError) as error:
            self.process.join()
            raise StudyError(_ended(piece.figure, self.process.exitcode or 0)) from error
        if isinstance(answer, Exception):
            raise answer
        self.piece = None
        return piece, answer

    def stop(self) -> None:
        self.pipe.close()
        if self.piece is not None:
            self.process.terminate()
        self.process.join()


def _ended(figure: str, code: int) -> str:
    why = f"signal {-code}, as where memory runs out): use fewer --workers" if code < 0 else f"exit code {code})"
    return f"A process that worked on figure {figure} ended without a word ({why}; what is finished is kept."


def _answered(crew: Sequence[_Worker]) -> list[_Worker]:
    """Those that have something to say, waited for."""
    working = {worker.pipe: worker for worker in crew if worker.piece}
    return [working[pipe] for pipe in wait(list(working)) if pipe in working]


def _work(pipe: Connection[Any, Any], open_job: Open, pages: Path, threads: int) -> None:
    """The life of another process: until the pipe is closed, or the process at its other end is gone."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt, EOFError, OSError):
        torch.set_num_threads(threads)
        job: Job | None = None
        while True:
            piece: Piece = pipe.recv()
            try:
                job = job or open_job()
                answer: Any = piece.done(job, pages)
            except Exception as error:
                answer = _portable(error)
            pipe.send(answer)


def _end_with_parent() -> None:
    """A parent that was killed stops nobody: its pieces would go on, beside those of the next call."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _portable(error: Exception) -> Exception:
    """The error as it comes through a pipe; a mistake that is none of the user's says where it was."""
    if not isinstance(error, StitchError):
        error.add_note(traceback.format_exc())
    try:
        if type(pickle.loads(pickle.dumps(error))) is type(error):
            return error
    except Exception:  # whatever its class does
        pass
    return RuntimeError("".join(traceback.format_exception(error)))
