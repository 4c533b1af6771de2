"""Several processes at one job: each takes the first piece for which all is there; nothing is done twice."""

from __future__ import annotations

import contextlib
import multiprocessing
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
        StitchError: what went wrong in one of them, which stops the others; what is finished, and the last minute of what was
            not, is kept.
        StudyError: if a process was killed.
    """
    todo, done, total = pieces(figures, job), set[str](), len(pieces(figures, job))
    threads = max(1, torch.get_num_threads() // workers)
    hands = [_Hand(open_job, pages, threads) for _ in range(min(workers, total))]
    try:
        while todo or any(hand.piece for hand in hands):
            for hand in hands:
                piece = _next(todo, done, {h.piece.alone for h in hands if h.piece}) if hand.piece is None else None
                if piece is not None:
                    todo.remove(piece)
                    hand.give(piece)
            for hand in _heard(hands):
                piece, lines = hand.take()
                done.add(piece.key)
                if job.tell:
                    job.tell(f"pieces, by {len(hands)} processes", len(done), total)
                if lines:
                    yield lines
    finally:
        for hand in hands:
            hand.stop()


def _next(todo: Sequence[Piece], done: set[str], busy: set[str]) -> Piece | None:
    """The first piece whose needs are met and that disturbs no other."""
    return next((p for p in todo if p.needs <= done and not (p.alone and p.alone in busy)), None)


class _Hand:
    """Another process that does one piece at a time."""

    def __init__(self, open_job: Open, pages: Path, threads: int) -> None:
        context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        self._pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, open_job, pages, threads), daemon=True)
        self.process.start()
        theirs.close()
        self.piece: Piece | None = None

    @property
    def ear(self) -> Connection[Any, Any]:
        """Where it is heard: an answer, or its end."""
        return self._pipe

    def give(self, piece: Piece) -> None:
        with contextlib.suppress(OSError):  # it has gone: take() says so
            self._pipe.send(piece)
        self.piece = piece

    def take(self) -> tuple[Piece, list[str]]:
        """The piece that it has done, and the lines of a page."""
        piece = self.piece
        assert piece is not None
        try:
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            self.process.join()
            raise StudyError(
                f"A process that worked on figure {piece.figure} ended with code {self.process.exitcode} and no word (code -9: killed, "
                "as where memory runs out): use fewer --workers; what is finished is kept."
            ) from error
        if isinstance(answer, Exception):
            raise answer
        self.piece = None
        return piece, answer

    def stop(self) -> None:
        self._pipe.close()
        if self.piece is not None:
            self.process.terminate()
        self.process.join()


def _heard(hands: Sequence[_Hand]) -> list[_Hand]:
    """Those that have something to say, waited for."""
    working = {hand.ear: hand for hand in hands if hand.piece}
    return [working[ear] for ear in wait(list(working)) if ear in working]


def _work(pipe: Connection[Any, Any], open_job: Open, pages: Path, threads: int) -> None:
    """The life of another process: until the pipe is closed, or the process at its other end is gone."""
    with contextlib.suppress(KeyboardInterrupt, EOFError, OSError):
        torch.set_num_threads(threads)
        job: Job | None = None
        while True:
            piece: Piece = pipe.recv()
            try:
                job = job or open_job()
                pipe.send(piece.done(job, pages))
            except Exception as error:
                if not isinstance(error, StitchError):  # a mistake of ours: its place is lost on the way
                    error.add_note(traceback.format_exc())
                pipe.send(error)
