"""Broken tables end a process that was forked, which takes a moment, not one that was started."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars

from modelstitch.support import tables


class Forks:
    """Tables are tried in a fork of a process that has polars already, where the library starts one anew each time.

    What is done there is the same: the bounds, the reading, and a process that may die of it.
    """

    def __init__(self) -> None:
        code = (
            "import sys, json, os; sys.path[:0] = json.loads(sys.argv[1]); import polars, trial\n"
            "for line in sys.stdin:\n"
            "    ask = json.loads(line)\n"
            "    out, back = os.pipe()\n"
            "    child = os.fork()\n"
            "    if not child:\n"
            "        try:\n"
            "            trial.bound(ask['memory'], ask['seconds']); trial.read(polars, **ask['read']); answer = ''\n"
            "        except BaseException as error:\n"
            "            answer = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]\n"
            "        os.write(back, json.dumps({'error': answer}).encode()); os._exit(0)\n"
            "    os.close(back); said = os.read(out, 65536).decode(); os.close(out); os.waitpid(child, 0)\n"
            "    print(said or '{}', flush=True)\n"
        )
        paths = json.dumps([str(Path(polars.__file__).parents[1]), str(Path(tables.__file__).parent)])
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", code, paths],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={"POLARS_MAX_THREADS": "1"},
        )

    def trial(self, ask: dict[str, Any], size: int) -> str:
        """As ``modelstitch.support.tables._trial``."""
        given = {"memory": tables._memory(size), "seconds": tables._SECONDS + size // tables._SPEED, "read": ask}
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps(given), file=self.process.stdin, flush=True)
        said = json.loads(self.process.stdout.readline())
        return str(said.get("error", "its reader ended at it: it is broken, or unpacks to far more than its size"))
