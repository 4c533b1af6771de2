"""What records cost: counting and opening many, digests in a study, and a second process at one study.

    python benchmarks/records.py [--only status open digests workers] [--cells 10000] [--study 200] [--rounds 5] [--out
    FILE]

``status`` is the command on a folder of so many cells, and ``open`` is ``ms.open(folder).frame``: processes of their
own, imports and all. The cells are those of one small study, again and again under other seeds, whole and with digests
that hold. ``digests`` is the share of a study's processor time that goes into SHA-256 of whatever kind (of records,
cells, networks, data, states), with the text that is written for it. ``workers`` runs one study by one process and by
two, each on one thread. Clock times are the least of the rounds, and mean something on a quiet machine only; the
processor's time is of a process and its children.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import torch
from side_by_side import hardware, table
from torch import nn

import modelstitch as ms
from modelstitch.study.status import status_of
from modelstitch.study.store import Store
from modelstitch.support import hashing
from modelstitch.support.hashing import cell_hash

OPEN = "import sys, modelstitch as ms; print(len(ms.open(sys.argv[1]).frame))"
A_SEED = 12  # cells: two directions, two layers, the pair and its two controls
SPEC = """name = "records"
data = "digits"
pairs = [["one", "two"], ["two", "one"]]
layers = ["block1", "block3"]
families = ["affine"]
objectives = ["task"]
controls = ["self", "random"]
seeds = {seeds}

[donors]
one = {{model = "zoo:small-resnet?width=8", weights = "random", seed = 0}}
two = {{model = "zoo:small-resnet?width=8", weights = "random", seed = 1}}

[fit]
steps = {steps}
"""


class Took(NamedTuple):
    """Seconds of a process and its children."""

    clock: float
    processor: float


def took(command: Sequence[str], rounds: int = 1, threads: int | None = None) -> Took:
    """What a command takes: the least of the rounds, of both times."""
    within = {**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        with tempfile.TemporaryFile() as said:
            child = subprocess.Popen(command, stdout=said, stderr=said, env=within)
            _, code, used = os.wait4(child.pid, 0)
            found.append((time.perf_counter() - start, used.ru_utime + used.ru_stime))
            child.returncode = os.waitstatus_to_exitcode(code)
            said.seek(0)
            if child.returncode:
                raise SystemExit(f"{' '.join(command)} ended with {child.returncode}: {said.read().decode()}")
    return Took(*(min(times) for times in zip(*found, strict=True)))


def compared(seeds: Sequence[int], steps: int, out: Path | None = None) -> Any:
    """A study of two small networks on digits, ``A_SEED`` cells a seed."""
    networks = []
    for seed, name in enumerate(("one", "two")):
        torch.manual_seed(seed)
        layers = [nn.Sequential(nn.Linear(64 if at == 0 else 32, 32), nn.ReLU()) for at in range(2)]
        networks.append(
            ms.Network(nn.Sequential(nn.Flatten(), *layers, nn.Linear(32, 10)), torch.zeros(2, 1, 8, 8), name)
        )
    asked = {"controls": ("self", "random"), "seeds": tuple(seeds), "steps": steps, "device": "cpu"}
    return ms.compare(*networks, ms.load_data("digits"), out=out, **asked)


def filled(folder: Path, n: int) -> None:
    """A study of n cells: those of a small one, again and again under other seeds."""
    small = compared([0], 2)
    store, cells = Store(folder, small.spec), []
    for at in range(n):
        like = small.records[at % len(small.records)]
        config = {**like.config, "seed": at}
        record = replace(like, config=config, cell=cell_hash(config))
        (folder / "cells" / f"{record.cell}.json").write_bytes(record.to_json())
        cells.append(record.cell)
    store.plan(cells)
    assert status_of(folder).finished == n


def many(options: argparse.Namespace) -> str:
    """The command ``status``, and opening, of many cells beside those of none."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for n in (0, options.cells):
            folder = Path(place) / str(n)
            filled(folder, n)
            calls = {
                "status": [sys.executable, "-m", "modelstitch", "status", str(folder)],
                "open": [sys.executable, "-c", OPEN, str(folder)],
            }
            for name in options.only & calls.keys():
                spent = took(calls[name], options.rounds)
                rows.append([name, f"{n:,}", f"{spent.clock:.2f}", f"{spent.processor:.2f}"])
    return table(("what", "cells", "clock (s)", "processor (s)"), sorted(rows))


@contextmanager
def timed() -> Iterator[list[float]]:
    """Add up the processor's seconds of all SHA-256 meanwhile, and of the texts that are written for it."""
    spent, deep = [0.0], [0]

    def clocked(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            deep[0] += 1
            start = time.process_time()
            try:
                return call(*args, **kwargs)
            finally:
                deep[0] -= 1
                if not deep[0]:
                    spent[0] += time.process_time() - start

        return run

    class Hash:
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._hash = clocked(kept["sha256"])(*args, **kwargs)
            self.update = clocked(self._hash.update)
            self.digest, self.hexdigest = clocked(self._hash.digest), clocked(self._hash.hexdigest)

    kept = {"sha256": hashlib.sha256, "file_digest": hashlib.file_digest}
    texts = {name: getattr(hashing, name) for name in ("of_json", "of_file", "of", "of_tensors")}
    try:
        hashlib.sha256, hashlib.file_digest = Hash, clocked(kept["file_digest"])  # type: ignore[misc, assignment]
        for name, call in texts.items():
            setattr(hashing, name, clocked(call))
        yield spent
    finally:
        hashlib.sha256, hashlib.file_digest = kept["sha256"], kept["file_digest"]  # type: ignore[misc, assignment]
        for name, call in texts.items():
            setattr(hashing, name, call)


def digests(options: argparse.Namespace) -> str:
    """The share of a study that goes into digests."""
    seeds, rows = range(-(-options.study // A_SEED)), []
    with tempfile.TemporaryDirectory() as place, timed() as spent:
        for what in (f"run, {options.steps} steps a fit at most", "run again, all cells there"):
            spent[0], start = 0.0, time.process_time()
            n = len(compared(seeds, options.steps, Path(place) / "study").records)
            whole = time.process_time() - start
            rows.append([what, f"{n:,}", f"{whole:.2f}", f"{spent[0]:.3f}", f"{100 * spent[0] / whole:.2f} %"])
    return table(("study", "cells", "processor (s)", "of it digests (s)", "share"), rows)


def workers(options: argparse.Namespace) -> str:
    """One study by one process, and by two."""
    found = {}
    with tempfile.TemporaryDirectory() as place:
        spec = Path(place) / "study.toml"
        seeds = list(range(-(-options.study // A_SEED)))
        spec.write_text(SPEC.format(seeds=seeds, steps=options.steps))
        for n in (1, 2):
            out = str(Path(place) / f"by-{n}")
            command = [sys.executable, "-m", "modelstitch", "run", str(spec), "--out", out, "--device", "cpu"]
            found[n] = took([*command, "--workers", str(n)], threads=n)
            assert status_of(out).missing == 0
    rows = [
        [
            str(n),
            str(len(seeds) * A_SEED),
            f"{spent.clock:.1f}",
            f"{found[1].clock / spent.clock:.2f}",
            f"{spent.processor:.1f}",
            f"{spent.processor / found[1].processor:.2f}",
        ]
        for n, spent in found.items()
    ]
    return table(("processes", "cells", "clock (s)", "times as fast", "processor (s)", "of one process's"), rows)


SECTIONS = {"status": many, "open": many, "digests": digests, "workers": workers}
TITLES = {many: "Many records", digests: "Digests in a study", workers: "Two processes at one study"}


def main(given: Sequence[str] | None = None) -> None:
    """Run the sections, print their tables, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(SECTIONS), choices=list(SECTIONS))
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--study", type=int, default=200, help="Least number of cells of a study.")
    parser.add_argument("--steps", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(given)
    options.only = set(options.only)
    torch.set_num_threads(1)
    parts = ["# What records cost"]
    for section in dict.fromkeys(SECTIONS[name] for name in SECTIONS if name in options.only):
        parts += [f"## {TITLES[section]}", section(options)]
        print("\n\n".join(parts[-2:]), end="\n\n", flush=True)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    said = " ".join(sys.argv[1:] if given is None else given)
    parts.append(
        f"`python benchmarks/records.py {said}`, {datetime.now(UTC):%Y-%m-%d}, commit {commit or 'unknown'}: "
        f"{hardware()}."
    )
    print(parts[-1])
    if options.out:
        options.out.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
