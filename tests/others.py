"""Another process in a moment: forked from one that has imported torch and this package, and nothing of any test.

Starting Python and importing torch takes longer than most of what is asked of the other process. Where the imports
themselves are asked about, or the command as it is installed, a process is started as usual.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

WAIT = 240.0  # seconds
_LOADED = ["torch", "torch._dynamo", "modelstitch.api", "modelstitch.study.declared", "modelstitch.results"]
_LOADED += ["torch.export._trace", "torch._inductor.codecache", "torch._inductor.fx_passes"]  # what a trace imports
CONTEXT = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
if sys.platform == "linux":
    CONTEXT.set_forkserver_preload(_LOADED)


COMMAND = "import sys\nfrom modelstitch.cli import main\nsys.argv[0] = 'modelstitch'\nmain()"  # with words behind it


class Ended(SimpleNamespace):
    """How a process ended: its exit code (negative where a signal ended it), and all that it said."""


class Other:
    """A process that runs a program; what it says goes into a file."""

    def __init__(self, code: str, *arguments: object, folder: Path, said: Path) -> None:
        self.said = said
        words = ["-c", *map(str, arguments)]
        self.process = CONTEXT.Process(target=_run, args=(code, words, str(folder), str(said)), daemon=True)
        self.process.start()

    def ended(self) -> Ended:
        self.process.join(WAIT)
        assert self.process.exitcode is not None, f"it has not ended after {WAIT} seconds"
        return Ended(code=self.process.exitcode, said=self.said.read_text(encoding="utf-8"))

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


def told(code: str, *arguments: object, folder: Path) -> str:
    """What a program prints, run with its arguments in a folder; it must end well."""
    ended = Other(code, *arguments, folder=folder, said=folder / "said.txt").ended()
    assert ended.code == 0, ended.said
    return ended.said


def soon(ask: Callable[[], object], seconds: float = 60.0) -> object:
    """What is asked for, as soon as it is there and true."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            if answer := ask():
                return answer
        time.sleep(0.01)
    raise AssertionError(f"nothing in {seconds} seconds")


def _run(code: str, words: list[str], folder: str, said: str) -> None:
    import torch

    torch.set_num_threads(1)  # as in this process
    os.chdir(folder)
    with open(said, "wb", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1, encoding="utf-8", closefd=False) for n in (1, 2))
    sys.argv = words
    main = sys.modules["__main__"]
    with contextlib.suppress(AttributeError):
        del main.__file__
    ended: object = 1
    try:
        exec(compile(code, "<other>", "exec"), vars(main))
        ended = 0
    except SystemExit as error:
        ended = error.code
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(ended if isinstance(ended, int) else int(ended is not None))


def quick_workers(patch: pytest.MonkeyPatch) -> None:
    """Let workers of a study or a figure be such processes, too: all they do is as ever, but for how they start."""
    from modelstitch.support import crew

    patch.setattr(crew, "multiprocessing", SimpleNamespace(get_context=lambda how: CONTEXT))
    # Their parent is the one that they are forked from: they are bound to this one as threads' workers are.
    patch.setattr(crew, "threading", SimpleNamespace(current_thread=lambda: None, main_thread=lambda: 0))


def quick_programs(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let a program that starts Python with a file start such a process, and read what it said."""
    run = subprocess.run

    def quick(command: list[str], *, check: bool = False, **how: Any) -> subprocess.CompletedProcess[str]:
        if command[0] != sys.executable or not command[1].endswith(".py"):
            return run(command, check=check, **how)
        _, program, *words = command
        place = [str(Path(program).parent)]
        code = f"import runpy, sys\nsys.path[:0] = {place}\nrunpy.run_path({program!r}, run_name='__main__')"
        ended = Other(code, *words, folder=folder, said=folder / "said.txt").ended()
        if check and ended.code:
            raise subprocess.CalledProcessError(ended.code, command, ended.said)
        return subprocess.CompletedProcess(command, ended.code, ended.said, "")

    patch.setattr(subprocess, "run", quick)
