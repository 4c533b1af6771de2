"""What is said before the work, beside what the work then takes: seconds and memory of five kinds of work.

python benchmarks/foretold.py
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from side_by_side import table, write

import modelstitch as ms
from modelstitch.api import plan_compare
from modelstitch.arrays import rehearse
from modelstitch.arrays.given import vectors
from modelstitch.arrays.rehearsal import foretell_rehearsal
from modelstitch.layerwise import foretell_similarity
from modelstitch.zoo.donors import DonorSpec, a_step, donor
from modelstitch.zoo.train import short_recipe

Work = tuple[Callable[[], tuple[float, int]], Callable[[], Any]]  # what is said of it (seconds, bytes), and the work


class Case(NamedTuple):
    """One kind of work: said and taken."""

    seconds: float
    took: float
    memory: float
    grew: float


def pair(width: int) -> tuple[ms.Network, ms.Network, ms.Data]:
    """Two random residual networks, and digits."""
    one, other = (ms.load(f"zoo:small-resnet?width={width}&blocks=4", seed=s, name=n) for s, n in enumerate("ab"))
    return one, other, ms.load_data("digits")


def compared(width: int, steps: int, **asked: Any) -> Work:
    """Stitches between the two networks."""
    one, other, data = pair(width)
    how: dict[str, Any] = {**asked, "device": "cpu"} | ({"steps": steps} if "objective" not in asked else {})

    def said() -> tuple[float, int]:
        needs = plan_compare(one, other, data, **how)
        return needs.seconds, needs.memory + needs.way

    return said, lambda: ms.compare(one, other, data, **how)


def alike(width: int) -> Work:
    """Similarity of all their blocks."""
    one, other, data = pair(width)

    def said() -> tuple[float, int]:
        told = foretell_similarity(one, other, data, split="fit", device="cpu")
        return told.seconds, told.memory

    return said, lambda: ms.similarity(one, other, data, split="fit", device="cpu")


def aligned(rows: int, width: int) -> Work:
    """An upgrade of embeddings."""
    drawn = np.random.default_rng(0)
    old = drawn.normal(size=(rows, width)).astype(np.float32)
    new = old @ drawn.normal(size=(width, width)).astype(np.float32)
    asked: dict[str, Any] = {"family": ("affine",), "pairs": None, "queries": rows // 20, "k": (1, 10), "seed": 0}

    def said() -> tuple[float, int]:
        told = foretell_rehearsal(vectors(old, "old"), vectors(new, "new"), **asked)
        return told.seconds, told.memory

    return said, lambda: rehearse(old, new, **asked)


def trained(width: int) -> Work:
    """A donor of the zoo."""
    net, data = f"small-resnet?width={width}&blocks=4", ms.load_data("digits")
    spec = DonorSpec(net, short_recipe(net, digits=True))
    steps = short_recipe(net, digits=True).steps

    def said() -> tuple[float, int]:
        seconds, size = a_step(spec, data)
        return steps * seconds, size

    return said, lambda: donor(spec, data)


def memory(name: str) -> float:
    """A line of the process's own status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * float(next(line.split()[1] for line in lines if line.startswith(name)))


def measured(name: str, width: int, rows: int, steps: int) -> Case:
    """One case in a process of its own."""
    torch.set_num_threads(1)
    time.perf_counter = time.process_time  # of one thread: what else the machine does moves neither side
    made: dict[str, Callable[[], Work]] = {
        "compare, defaults": lambda: compared(width, steps),
        "matrix, closed forms": lambda: compared(width, 0, layers="all", objective="match", controls=(), both=False),
        "similarity, four measures": lambda: alike(width),
        "align, one map": lambda: aligned(rows, 256 if rows > 10_000 else 16),
        "train": lambda: trained(width),
    }
    said, work = made[name]()
    said()  # what is imported and compiled at first counts on neither side
    seconds, size = said()
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, begun = memory("VmRSS"), time.perf_counter()
    work()
    took = time.perf_counter() - begun
    return Case(seconds, took, size, memory("VmHWM") - before)


def apart(*asked: Any) -> Case:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--one", json.dumps(asked)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Case(*json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=24)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--only", help="kinds of work that begin so, with commas between")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        print(json.dumps(measured(*json.loads(chosen.one))))
        return
    names = ("compare, defaults", "matrix, closed forms", "similarity, four measures", "align, one map", "train")
    if chosen.only:
        names = tuple(name for name in names if name.startswith(tuple(chosen.only.split(","))))
    rows, found = [], []
    for name in names:
        case = apart(name, chosen.width, chosen.rows, chosen.steps)
        found.append(case.took / case.seconds)
        sizes = (f"{1e-6 * size:.1f}" for size in (case.memory, case.grew))
        rows.append((name, f"{case.seconds:.1f}", f"{case.took:.1f}", f"{found[-1]:.2f}", *sizes))
        print(*rows[-1], flush=True)
    write(
        "foretold",
        "What is said before, and what it takes",
        [
            f"Two residual networks of width {chosen.width} on digits (fits of {chosen.steps} steps), embeddings of "
            f"{chosen.rows:,} rows. *Said* is what `--dry-run` and the first line of a command say: seconds from "
            "measured batches, memory beside networks and data. *Taken* is what the work then took, "
            "without opening networks and writing a page, both in processor seconds of one thread; memory is by how "
            "much the process grew, batches included.",
            table(("", "seconds, said", "taken", "ratio", "memory, said, MB", "grew by, MB"), rows),
            f"Taken over said lies between {min(found):.2f} and {max(found):.2f}: fits that end early take less, maps "
            "that are solved are not counted.",
        ],
    )


if __name__ == "__main__":
    main()
