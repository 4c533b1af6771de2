"""Processes that work for this one: what they say comes through, their end is told, and none outlives its parent."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelstitch.errors import DataError
from modelstitch.support.crew import LostError, Worker, answered, portable
from others import soon


class Odd(Exception):
    """One that does not come through a pipe: it is made of two parts and gives on one."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (DataError("The data are gone."), DataError, "The data are gone."),
        (ValueError("no such thing"), ValueError, "no such thing"),
        (Odd(1, 2), RuntimeError, "Odd: 1 and 2"),
    ],
)
def test_an_error_comes_through_a_pipe(error, kind, words):
    found = portable(error)
    assert type(found) is kind
    assert words in str(found)
    assert pickle.loads(pickle.dumps(found)).args == found.args


def echo(pipe):
    """Give back what comes; end by a signal, or raise, where that is asked for."""
    while True:
        piece = pipe.recv()
        if piece == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if piece == "end":
            os._exit(3)
        pipe.send(DataError("The data are gone.") if piece == "raise" else [piece, "torch" in sys.modules])


def test_what_they_say_and_how_they_end():
    worker = Worker(echo)
    worker.give("one")
    assert answered([worker], 30) == [worker]
    assert worker.answer() == ["one", False]
    worker.give("raise")
    with pytest.raises(DataError, match="The data are gone"):
        worker.answer()
    worker.give("kill")
    with pytest.raises(LostError) as caught:
        worker.answer()
    assert (caught.value.code, caught.value.why) == (-9, "signal 9, as where memory runs out")
    worker.stop()
    assert LostError(3).why == "exit code 3"


PARENT = """
import os, sys, time
from pathlib import Path
from modelstitch.support.crew import Worker

def life(pipe):
    time.sleep(600)

if __name__ == "__main__":
    worker = Worker(life)
    Path(sys.argv[1]).write_text(str(worker.process.pid))
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not bind a process to its parent")
@pytest.mark.parametrize("later", [0.0, 0.5])
def test_one_whose_parent_is_killed_ends_at_once(tmp_path, later):
    (tmp_path / "parent.py").write_text(PARENT)
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py", tmp_path / "pid"])
    pid = int(soon(lambda: (tmp_path / "pid").read_text()))
    time.sleep(later)
    parent.kill()
    parent.wait()
    soon(lambda: not Path(f"/proc/{pid}").exists() or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z")
