"""What each speed trick of `support` gains: the same work with it and without it, in turn.

    python benchmarks/tricks.py                         # all of them, on one thread and on two: a minute
    python benchmarks/tricks.py --threads 2 --rounds 15 --out docs/results/tricks.md

A ratio above 1 is a gain. Each round runs both ways, and the ratio is that of their medians: by the clock, and by the
processor's time, which counts where a machine is shared. CUDA graphs are measured by `benchmarks/gpu.py`.
"""

from __future__ import annotations

import argparse
import atexit
import datetime
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from pathlib import Path
from unittest.mock import patch

import torch
from side_by_side import hardware, table

import modelstitch as ms
import records
from modelstitch.report import frame
from modelstitch.study import store
from modelstitch.support.fast import products
from modelstitch.support.memory import alone_if_small, uncollected

Work = Callable[[], object]
Taken = tuple[float, float]  # seconds of the clock and of the processor
Ways = tuple[Callable[[], Taken], Callable[[], Taken]]
CELLS = 4000
FORWARD = """
import sys, time, torch
from modelstitch.support.memory import keep_heap
from modelstitch.zoo.nets import build
torch.set_num_threads(int(sys.argv[2]))
if sys.argv[1] == "kept":
    keep_heap()
net, x = build("resnet20?width=16").eval(), torch.randn(128, 3, 32, 32)
with torch.no_grad():
    for _ in range(3):
        net(x)
    begun = time.perf_counter(), time.process_time()
    for _ in range(20):
        net(x)
    print([time.perf_counter() - begun[0], time.process_time() - begun[1]])
"""


def rows(n: int, p: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Random rows (n, p)."""
    return torch.randn(n, p, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)


def cases() -> dict[str, tuple[Work, Work]]:
    """By name: the work with a trick, and without."""
    found: dict[str, tuple[Work, Work]] = {}
    for p, dtype in ((16, torch.float64), (64, torch.float64), (256, torch.float64), (64, torch.float32)):
        x, y = rows(32768, p, dtype), rows(32768, p, dtype)
        kind = str(dtype).removeprefix("torch.")
        found[f"inner, x'x of (32768, {p}) {kind}"] = lambda x=x: products.inner(x), lambda x=x: x.T @ x
        found[f"inner, x'y of (32768, {p}) {kind}"] = (
            lambda x=x, y=y: products.inner(x, y),
            lambda x=x, y=y: x.T @ y,
        )
    for dtype in (torch.float64, torch.float32):
        step, many = rows(64, 64, dtype), rows(256 * 64, 49, dtype).view(256, 64, 49)
        kind = str(dtype).removeprefix("torch.")
        found[f"stacked, (64, 64) by 256 of (64, 49) {kind}"] = (
            lambda step=step, many=many: products.stacked(step, many),
            lambda step=step, many=many: torch.matmul(step, many),
        )
    for p in (1024, 4096, 16384):
        wide = rows(256, p, torch.float32)
        found[f"gram of (256, {p}) float32"] = (
            lambda wide=wide: products.gram(wide),
            lambda wide=wide: wide @ wide.T,
        )
    for p in (32, 128, 512):
        square = rows(4 * p, p)
        square = square.T @ square
        found[f"alone_if_small, eigh of {p} columns"] = (
            lambda s=square, p=p: _alone(s, p),
            lambda s=square: torch.linalg.eigh(s),
        )
    found[f"uncollected, {CELLS:,} cells opened"] = _opened, lambda: _opened(nullcontext)
    return found


def _alone(square: torch.Tensor, columns: int) -> object:
    with alone_if_small(columns):
        return torch.linalg.eigh(square)


@cache
def _cells() -> Path:
    """A folder of records."""
    folder = Path(tempfile.mkdtemp(prefix="tricks-"))
    atexit.register(shutil.rmtree, folder)
    records.filled(folder, CELLS)
    return folder


def _opened(collected: Callable[[], AbstractContextManager[None]] = uncollected) -> object:
    with patch.object(store, "uncollected", collected), patch.object(frame, "uncollected", collected):
        return ms.open(_cells()).frame


def spent(work: Work) -> Taken:
    """Seconds of the clock and of the processor that some repeats take, the first one apart."""
    work()
    begun, times = (time.perf_counter(), time.process_time()), 0
    while not times or time.perf_counter() - begun[0] < 0.05:
        work()
        times += 1
    return (time.perf_counter() - begun[0]) / times, (time.process_time() - begun[1]) / times


def forward(how: str, threads: int) -> Taken:
    """Seconds of 20 forward passes of a ResNet-20 in a process of its own, its heap kept or not."""
    words = [sys.executable, "-c", FORWARD, how, str(threads)]
    done = subprocess.run(words, env=dict(os.environ), capture_output=True, text=True, check=True)
    clock, processor = json.loads(done.stdout)
    return clock, processor


def measured(ways: dict[str, Ways], rounds: int, only: str, *lead: str) -> list[list[str]]:
    """A row for each pair of ways to do the same: the one that is taken, and the other."""
    found = []
    for name, both in ways.items():
        if only not in name:
            continue
        times: tuple[list[Taken], list[Taken]] = ([], [])
        for _ in range(rounds):
            for way, held in zip(both, times):
                held.append(way())
        clock, processor = ([statistics.median(t[at] for t in held) for held in times] for at in (0, 1))
        ratios = (f"{other / taken:.2f}" for taken, other in (clock, processor))
        found.append([*lead, name, *(f"{1e3 * seconds:.3g}" for seconds in clock), *ratios])
        print(" | ".join(found[-1]), file=sys.stderr, flush=True)
    return found


def main(
    title: str,
    about: str,
    columns: tuple[str, str, str],
    cases: Callable[[], dict[str, tuple[Work, Work]]],
    alone: Callable[[int], dict[str, Ways]] = lambda threads: {},
    *,
    threads: Sequence[int] = (1, 2),
    rounds: int = 7,
) -> None:
    """Measure, print, and write the page where one is asked for.

    Args:
        title: of the page.
        about: the script's own words.
        columns: what is measured, the way that is taken, the other one.
        cases: work by each of two ways.
        alone: ways that measure themselves, by the number of threads.
        threads: by default.
        rounds: by default.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, action="append", help=f"{' and '.join(map(str, threads))} by default")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found = []
    for number in options.threads or threads:
        torch.set_num_threads(number)
        pairs: dict[str, Ways] = {name: (partial(spent, a), partial(spent, b)) for name, (a, b) in cases().items()}
        found += measured(pairs | alone(number), options.rounds, options.only, str(number))
    what, taken, other = columns
    text = table(("threads", what, f"{taken} (ms)", f"{other} (ms)", "gain, clock", "gain, processor"), found)
    print(text)
    if options.out is not None:
        command = f"python benchmarks/{Path(sys.argv[0]).name} --rounds {options.rounds}"
        head = f"# {title}\n\n`{command}`, {datetime.date.today()}, {hardware(max(options.threads or threads))}.\n\n"
        options.out.write_text(f"{head}{about.split(chr(10) * 2)[2].strip()}\n\n{text}\n", encoding="utf-8")


def heaps(threads: int) -> dict[str, Ways]:
    """A forward whose freed memory is kept, and is not."""
    return {
        "keep_heap, forward of a ResNet-20": (partial(forward, "kept", threads), partial(forward, "given", threads))
    }


if __name__ == "__main__":
    main("What the speed tricks gain", __doc__ or "", ("trick and work", "with", "without"), cases, heaps)
