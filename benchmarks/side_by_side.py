"""Calls timed in turn within one process, and the table of their ratios, written where it is kept.

On a shared machine single times mean little: each round runs every call once, ratios are taken within a round, and the
processor's time stands beside the clock's.
"""

from __future__ import annotations

import datetime
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent.parent / "docs" / "results"


@dataclass
class Times:
    """Seconds of every round."""

    clock: list[float]
    processor: list[float]


def side_by_side(calls: dict[str, Callable[[], Any]], rounds: int, *, warm: bool = True) -> dict[str, Times]:
    """Run every call once to warm up, unless that was done, then all of them in turn, ``rounds`` times."""
    for call in calls.values() if warm else ():
        call()
    found = {name: Times([], []) for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            clock, processor = time.perf_counter(), time.process_time()
            call()
            found[name].processor.append(time.process_time() - processor)
            found[name].clock.append(time.perf_counter() - clock)
    return found


def ratios(found: dict[str, Times], base: str) -> list[tuple[str, ...]]:
    """For each call: its median seconds, and its ratios to ``base`` within a round: least and median, of both times."""
    rows = []
    for name, times in found.items():
        cells = [name, f"{statistics.median(times.clock):.2f}"]
        for kind in ("clock", "processor"):
            each = [a / b for a, b in zip(getattr(times, kind), getattr(found[base], kind))]
            cells += [f"{min(each):.2f}", f"{statistics.median(each):.2f}"]
        rows.append(tuple(cells))
    return rows


def head(base: str) -> tuple[str, ...]:
    """Column names of ``ratios``."""
    short = f"/ {base}"
    return ("", "seconds", f"clock {short}, least", "median", f"processor {short}, least", "median")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---", *("---:" for _ in columns[1:])], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(name: str, title: str, parts: Sequence[str]) -> None:
    """Print the parts and keep them, with where they were measured, as docs/results/NAME.md."""
    where = (
        f"Made by `python benchmarks/{Path(sys.argv[0]).name}{''.join(' ' + a for a in sys.argv[1:])}` on "
        f"{datetime.date.today()}: {hardware(torch.get_num_threads())}. The machine was shared, so ratios are taken "
        "within a round."
    )
    text = "\n\n".join([f"# {title}", *parts, where]) + "\n"
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")


def hardware(threads: int = 1) -> str:
    """What a number was measured on."""
    return (
        f"{os.cpu_count()} CPU cores ({_processor()}), {threads} thread{'s' if threads > 1 else ''}, "
        f"torch {torch.__version__}, Python {platform.python_version()}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()
