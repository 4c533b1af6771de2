"""What killed and competing processes do to the folder of a study: no cell lost, none made twice, one study a folder.

    python benchmarks/races.py kills races crowd --n 200 --out docs/results/races.md

``kills`` ends a comparison with SIGKILL at random moments, again and again, and lets the last run end: every cell that was
finished before a kill must stay as it is, byte for byte, and the table must be that of an undisturbed run. ``races`` lets two
different studies come into one new folder at once: one has it, the other is refused. ``crowd`` lets 16 processes make
the cells of one study, some of them killed and one of its files damaged now and then: all cells must be there in the end, whole.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch
from torch import nn

import modelstitch as ms
from modelstitch.errors import StudyError
from modelstitch.study.canonical import cell_hash
from modelstitch.study.record import Metric, Record, equal_results
from modelstitch.study.store import Store

QUICK = {"controls": ("self", "random"), "steps": 2, "seeds": (0, 1), "device": "cpu"}
CELLS = 200  # of a crowd
ACCEPTED, REFUSED = 0, 3  # exit codes


def forked(work: Callable[[], None]) -> int:
    """A process that does ``work`` with all that this one has loaded; its number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = ACCEPTED
    except StudyError:
        code = REFUSED
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(child: int) -> int:
    """The exit code of a process, waited for; negative where a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def question() -> Callable[[Path], object]:
    """A comparison of two small networks, over and over the same; for children alone, since gradients bear no fork."""
    x = torch.randn(600, 8, generator=torch.Generator().manual_seed(0))
    parts = [
        torch.utils.data.TensorDataset(x[a:b], (x[a:b, 0] > 0).long()) for a, b in ((0, 200), (200, 300), (300, 600))
    ]
    data, networks = ms.Data(*parts), []
    for seed, name in enumerate(("one", "two")):
        torch.manual_seed(seed)
        layers = [nn.Sequential(nn.Linear(8, 8), nn.ReLU()) for _ in range(3)]
        networks.append(ms.Network(nn.Sequential(*layers, nn.Linear(8, 2)), x[:2], name))
    return lambda out: ms.compare(*networks, data, out=out, **QUICK)


def kills(n: int, draw: random.Random, scratch: Path) -> list[str]:
    """So many kills, spread over studies that are each killed until they are done."""
    ask = question()
    start = time.monotonic()
    assert ended(forked(lambda: ask(scratch / "whole"))) == ACCEPTED
    whole = {r.cell: r for r in Store(scratch / "whole").records()}
    took = time.monotonic() - start
    lost = repeated = unequal = done = studies = between = 0
    while done < n:
        out, kept = scratch / f"killed-{studies}", dict[str, tuple[int, bytes]]()
        studies += 1
        for _ in range(min(draw.randint(3, 12), n - done)):
            child = forked(lambda out=out: ask(out))
            time.sleep(draw.uniform(0, took / 3))  # each run goes on where the last one was
            os.kill(child, signal.SIGKILL)
            done += ended(child) == -signal.SIGKILL
            found = {p.stem: (p.stat().st_ino, p.read_bytes()) for p in (out / "cells").glob("????????????????.json")}
            lost += len(kept.keys() - found.keys())
            repeated += sum(found.get(cell, made) != made for cell, made in kept.items())
            between += len(found.keys() - kept.keys())
            kept |= found
        assert ended(forked(lambda out=out: ask(out))) == ACCEPTED
        records = {r.cell: r for r in Store(out).records()}
        lost += len(whole.keys() - records.keys())
        repeated += sum((out / "cells" / f"{c}.json").stat().st_ino != inode for c, (inode, _) in kept.items())
        unequal += sum(not equal_results(records[c], whole[c]) for c in records.keys() & whole.keys())
        shutil.rmtree(out)
    return [f"kill -9 of a comparison of {len(whole)} cells", f"{done} kills, {studies} studies, {between} cells made between kills",
            f"{lost} cells lost, {repeated} made twice, {unequal} unlike those of an undisturbed run"]  # fmt: skip


def races(n: int, draw: random.Random, scratch: Path) -> list[str]:
    """Two studies at once into one new folder, so many times; a third of the time one is interrupted at once."""
    one = both = none = harmed = 0
    for at in range(n):
        out, gate, hurry = scratch / f"race-{at}", time.time() + 0.02, draw.random() < 1 / 3

        def work(seed: int, out: Path = out, gate: float = gate, hurry: bool = hurry) -> None:
            record = made(seed)
            while time.time() < gate:
                pass
            store = Store(out, {"seeds": [seed % 2]})
            with store.begun():
                if seed == 2 and hurry:
                    raise KeyboardInterrupt
                store.plan([record.cell])
                store.write(record)

        first, second, third = (
            forked(lambda seed=seed: work(seed)) for seed in (0, 1, 2)
        )  # the third asks as the first
        codes = [ended(child) for child in (first, second, third)]
        accepted = {seed % 2 for seed, code in enumerate(codes) if code == ACCEPTED}
        one, both, none = one + (len(accepted) == 1), both + (len(accepted) == 2), none + (not accepted)
        try:
            harmed += len(accepted) == 1 and not Store(out, {"seeds": [accepted.copy().pop()]}).look().records
        except StudyError:
            harmed += 1
        shutil.rmtree(out)
    return ["two studies at once into one new folder, beside a process of one that may be interrupted", f"{n} races",
            f"{one} with one study accepted and the other refused, {both} with both, {none} with none; {harmed} folders harmed"]  # fmt: skip


def crowd(n: int, draw: random.Random, scratch: Path) -> list[str]:
    """Many processes at the cells of one study; ``n`` is how many of them are killed."""
    out, spec, records = scratch / "crowd", {"name": "crowd"}, [made(seed) for seed in range(CELLS)]
    Store(out, spec).plan([r.cell for r in records])

    def work(seed: int) -> None:
        warnings.simplefilter("ignore")
        store, order = Store(out, spec), list(records)
        random.Random(seed).shuffle(order)
        with store.begun():
            for record in order:
                if store.kept(record.cell) is None:
                    store.write(record)

    killed, damaged, seeds = 0, 0, iter(range(10**9))
    children = {forked(partial(work, next(seeds))) for _ in range(16)}
    while killed < n:
        time.sleep(draw.uniform(0, 0.03))
        child = draw.choice(sorted(children))
        os.kill(child, signal.SIGKILL)
        killed += ended(child) == -signal.SIGKILL
        children = children - {child} | {forked(partial(work, next(seeds)))}
        files = sorted((out / "cells").glob("????????????????.json"))
        if files and draw.random() < 0.3:
            file = draw.choice(files)
            text = bytearray(file.read_bytes())
            text[draw.randrange(len(text))] ^= 1 << draw.randrange(8)
            file.write_bytes(text)
            damaged += 1
    failed = sum(ended(child) != ACCEPTED for child in children)
    work(-1)
    held = Store(out).look()
    wrong = sum(found != want for found, want in zip(held.records, sorted(records, key=lambda r: r.cell), strict=True))
    return [f"16 processes at {CELLS} cells, {damaged} of their files damaged meanwhile", f"{killed} kills",
            f"{len(held.missing)} cells missing, {len(held.damaged)} damaged, {wrong} wrong; {failed} processes failed"]  # fmt: skip


def made(seed: int) -> Record:
    """A record, made without any network."""
    config = {"bottom": {"name": "a"}, "top": {"name": "b"}, "control": "pair", "seed": seed}
    return Record(
        cell_hash(config), config, (Metric("penalty", float(seed), unit="points"),), provenance={"seconds": 1.0}
    )


SECTIONS = {"kills": kills, "races": races, "crowd": crowd}


def main() -> None:
    """Run the sections, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", default=list(SECTIONS), choices=list(SECTIONS))
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rows = []
    for name in options.sections:
        scratch, start = Path(tempfile.mkdtemp(prefix=f"races-{name}-")), time.monotonic()
        rows.append(
            [*SECTIONS[name](options.n, random.Random(options.seed), scratch), f"{time.monotonic() - start:.0f} s"]
        )
        shutil.rmtree(scratch)
        print(" | ".join(rows[-1]), flush=True)
    if options.out:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
        words = [
            "# Kills and races", "", "| what | how often | found | time |", "|---|---|---|---|",
            *("| " + " | ".join(row) + " |" for row in rows), "",
            f"`python benchmarks/races.py {' '.join(options.sections)} --n {options.n} --seed {options.seed}` at {commit}, "
            f"{datetime.now(UTC):%Y-%m-%d}, {platform.platform(terse=True)}, Python {platform.python_version()}.",
        ]  # fmt: skip
        options.out.write_text("\n".join(words) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
