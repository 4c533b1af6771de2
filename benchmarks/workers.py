"""Figures of the paper by two processes beside one.

    python benchmarks/workers.py [--figures 2c,3a] [--rounds 2]

Every round runs the figures at the scale smoke into a fresh folder, each way in turn: networks are trained, stitched
and judged. Two processes have a thread each; one has one thread, or two. Needs two quiet cores: times on the clock are
what is asked.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

from side_by_side import table, write

WAYS = {  # workers, threads in all
    "one process, one thread": (1, 1),
    "one process, two threads": (1, 2),
    "two processes, a thread each": (2, 2),
}


def seconds(figures: list[str], workers: int, threads: int) -> float:
    """What one run takes on the clock, from the command to its last page."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "modelstitch", "paper", *figures, "--quiet"]
        began = time.perf_counter()
        subprocess.run(
            [*command, "--workers", str(workers), "--out", folder],
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figures", default="2c,3a")
    parser.add_argument("--rounds", type=int, default=2)
    chosen = parser.parse_args()
    figures = chosen.figures.split(",")
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(chosen.rounds):
        for name, way in WAYS.items():
            found[name].append(seconds(figures, *way))
    base = found[next(iter(WAYS))]
    rows = []
    for name, clock in found.items():
        quicker = [first / own for first, own in zip(base, clock)]
        rows.append(
            (name, f"{statistics.median(clock):.0f}", f"{min(quicker):.2f}", f"{statistics.median(quicker):.2f}")
        )
    write(
        "benchmark-workers",
        "Figures by two processes beside one",
        [
            f"`modelstitch paper {' '.join(figures)} --scale smoke`, rounds: {chosen.rounds}, each way in turn, into "
            "a fresh folder: from the command to its last page, start of Python and reading of data included.",
            table(("", "seconds on the clock", "times as quick as one thread, least", "median"), rows),
        ],
    )


if __name__ == "__main__":
    main()
