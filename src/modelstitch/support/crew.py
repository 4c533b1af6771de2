"""Other processes that work for this one: a pipe to each, and none outlives it.

No torch, so that they are bound before it is there.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from multiprocessing.connection import wait
from typing import Any

from ..errors import StitchError

Life = Callable[[Any], None]  # what a process does with its end of the pipe, until that is closed
_PR_SET_PDEATHSIG = 1  # of prctl.h


class LostError(Exception):
    """A process ended without a word; its ``code`` is negative where a signal ended it."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    @property
    def why(self) -> str:
        """In words: "signal 9, as where memory runs out"."""
        return f"signal {-self.code}, as where memory runs out" if self.code < 0 else f"exit code {self.code}"


class Worker:
    """Another process that does one piece of work at a time; through the pipe come its answers, and its end.

    Args:
        life: importable from the other process; it is pickled.

    Attributes:
        piece: what it works on; None while it is idle.
    """

    def __init__(self, life: Life) -> None:
        context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        self.pipe, theirs = context.Pipe()
        # What is unpickled together with the process would import torch before it is bound: hence bytes.
        bound = os.getpid() if threading.current_thread() is threading.main_thread() else 0
        self.process = context.Process(target=_begin, args=(theirs, pickle.dumps(life), bound), daemon=True)
        self.process.start()
        theirs.close()
        self.piece: Any = None

    def give(self, piece: Any) -> None:
        """Let it do a piece."""
        with contextlib.suppress(OSError):  # it has gone: answer() says so
            self.pipe.send(piece)
        self.piece = piece

    def answer(self) -> Any:
        """What it says next; an exception of its own is raised.

        Raises:
            LostError: it has gone.
        """
        try:
            answer = self.pipe.recv()
        except (EOFError, OSError) as error:
            self.process.join()
            raise LostError(self.process.exitcode or 0) from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def stop(self) -> None:
        """End it: at once where it works on something."""
        self.pipe.close()
        if self.piece is not None:
            self.process.kill()
        self.process.join()


def answered(crew: Iterable[Worker], seconds: float | None = None) -> list[Worker]:
    """Those at work that have something to say, waited for as long as that."""
    working = {worker.pipe: worker for worker in crew if worker.piece is not None}
    ready: list[Any] = wait(list(working), seconds)
    return [working[pipe] for pipe in ready]


def portable(error: Exception) -> Exception:
    """An error as it comes through a pipe; a mistake that is none of the user's says where it was."""
    if not isinstance(error, StitchError):
        error.add_note(traceback.format_exc())
    try:
        if type(pickle.loads(pickle.dumps(error))) is type(error):
            return error
    except Exception:  # whatever its class does
        pass
    return RuntimeError("".join(traceback.format_exception(error)))


def _begin(pipe: Any, life: bytes, parent: int) -> None:
    """The first instructions of the other process: it ends with its parent, however that ends."""
    _bind(parent)
    threading.Thread(target=_end_with_parent, daemon=True).start()  # where the system cannot bind it
    with contextlib.suppress(KeyboardInterrupt, EOFError, OSError):
        pickle.loads(life)(pipe)


def _bind(parent: int) -> None:
    """Let Linux kill this process with its parent.

    ``parent`` is 0 where a thread that may end earlier has started it.
    """
    if not (parent and sys.platform == "linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before
        os._exit(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
