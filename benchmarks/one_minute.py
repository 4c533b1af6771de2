"""What one example of each task takes, start to end, on one thread.

    python benchmarks/one_minute.py [--only NAME]

The examples are the sections of docs/how-to/own-tasks.md, and the detector of task.md. Each runs in a folder of its
own, as a reader would run it: Python by itself, every command as a process.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from side_by_side import table, write

HOW_TO = Path(__file__).parent.parent / "docs" / "how-to"
PAGES = {"own-tasks.md": None, "task.md": ("A detector's head",)}  # of which sections; None are all
BLOCK = re.compile(r"```(python|bash)\n(.*?)```", re.S)


def examples() -> dict[str, list[tuple[str, str]]]:
    """The (language, code) blocks of each section that has any."""
    found = {}
    for page, chosen in PAGES.items():
        for part in (HOW_TO / page).read_text(encoding="utf-8").split("\n## ")[1:]:
            name, _, body = part.partition("\n")
            blocks = BLOCK.findall(body)
            if blocks and (chosen is None or name in chosen):
                found[name] = blocks
    return found


def run(blocks: list[tuple[str, str]]) -> tuple[float, float]:
    """Seconds of the clock, and of the processor."""
    calls = []
    for language, code in blocks:
        lines = [["-c", code]] if language == "python" else [["-m", *shlex.split(line)] for line in code.splitlines()]
        calls += lines
    began, before = time.perf_counter(), spent()
    with tempfile.TemporaryDirectory() as folder:
        for call in calls:
            alone = {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
            done = subprocess.run([sys.executable, *call], cwd=folder, env=alone, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{call}\n{done.stdout}\n{done.stderr}")
    return time.perf_counter() - began, spent() - before


def spent() -> float:
    """Processor seconds of all processes that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="the section with this name")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, blocks in examples().items():
        if given.only in (None, name):
            clock, processor = run(blocks)
            commands = sum(code.count("modelstitch ") for language, code in blocks if language == "bash")
            rows.append((name, str(commands), f"{clock:.0f}", f"{processor:.0f}"))
    said = (
        "Seconds of each example of [any task from the shell](../how-to/own-tasks.md), its training and every start of "
        "Python among them."
    )
    write(
        "one-minute", "What one example of each task takes", [said, table(("", "commands", "clock", "processor"), rows)]
    )


if __name__ == "__main__":
    main()
