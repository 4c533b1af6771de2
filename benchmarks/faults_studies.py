"""Kills and races: processes that end, or come at once, in the folder of a study."""

from __future__ import annotations

import atexit
import dataclasses
import functools
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from faults_made import make_record
from torch import nn

import modelstitch as ms
from modelstitch.errors import StudyError
from modelstitch.records.record import Record, equal_results
from modelstitch.study.declared import run_study
from modelstitch.study.engines import local, processes
from modelstitch.study.prepared import Prepared
from modelstitch.study.question import Question
from modelstitch.study.run import run
from modelstitch.study.spec import parse_spec
from modelstitch.study.store import Store
from modelstitch.study.sweeps.bench import Bench
from modelstitch.support import crew

CROWD = 2_000  # cells
ACCEPTED, REFUSED = 0, 3  # exit codes
EXACT = ("penalty", "error", "top_error", "bottom_error", "agreement_top", "agreement_bottom", "parameters", "steps")
Step = Callable[[random.Random], Mapping[str, float]]


def forked(work: Callable[[], object]) -> int:
    """A process that does ``work`` with all that this one has loaded; its number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        warnings.simplefilter("ignore")
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


def children(process: int) -> list[int]:
    """The processes that a process has started."""
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return []


def alive(process: int) -> bool:
    with suppress(OSError, IndexError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def alike(one: Record, other: Record) -> bool:
    """Whether two records say the same.

    Numbers to nine digits, since what is fitted beside a cell may move its last one.
    """
    values = [{m.name: m.value for m in r.metrics} for r in (one, other)]
    near = values[0].keys() == values[1].keys() and all(
        value == values[1][name] or abs(value - values[1][name]) <= 1e-9 * max(1.0, abs(value))
        for name, value in values[0].items()
    )
    rest = [dataclasses.replace(r, metrics=tuple(m for m in r.metrics if m.name in EXACT)) for r in (one, other)]
    return near and equal_results(*rest)


@functools.cache
def question() -> tuple[list[ms.Network], ms.Data]:
    """Two small networks of five equal blocks, and data."""
    x = torch.randn(240, 8, generator=torch.Generator().manual_seed(0))
    parts = [
        torch.utils.data.TensorDataset(x[a:b], (x[a:b, 0] > 0).long()) for a, b in ((0, 120), (120, 160), (160, 240))
    ]
    networks = []
    for seed, name in enumerate(("one", "two")):
        torch.manual_seed(seed)
        layers = [nn.Sequential(nn.Linear(8, 8), nn.ReLU()) for _ in range(5)]
        networks.append(ms.Network(nn.Sequential(*layers, nn.Linear(8, 2)), x[:2], name))
    return networks, ms.Data(*parts)


ASKED = Question(
    pairs=[("one", "two"), ("two", "one")],
    layers="all",
    objectives="match",
    controls=("self", "random"),
    seeds=(0, 1),
    fit={"batch_size": 60},
)


def bench() -> Bench:
    """What a worker works on: what it has from the process that it was forked from."""
    networks, data = question()
    return Bench({n.name: n for n in networks}, data, ASKED.fit, torch.device("cpu"))


def ask(out: Path, workers: int = 0) -> list[Record]:
    """The study, by this process or by workers of it."""
    networks, data = question()
    store = Store(out, {"name": "a study to be killed"})
    engine = processes.engine(bench, workers) if workers else local.run
    with store.begun():
        return run(
            Prepared(ASKED, networks, data),
            store=store,
            whole=True,
            device="cpu",
            engine=engine,
        )


class Forks:
    """Workers as forks, which have all loaded, where the library starts new processes.

    The ends of other pipes are closed in them.
    """

    def __init__(self) -> None:
        self.real, self.ends = multiprocessing.get_context("fork"), list[Any]()

    def get_context(self, how: str) -> Forks:
        return self

    def Pipe(self) -> tuple[Any, Any]:
        ours, theirs = self.real.Pipe()
        self.ends.append(ours)
        return ours, theirs

    def Process(self, *, target: Callable[..., None], args: tuple[Any, ...], daemon: bool) -> Any:
        def life(*given: Any) -> None:
            for end in self.ends:
                end.close()
            target(*given)

        return self.real.Process(target=life, args=args, daemon=daemon)

    def parent_process(self) -> Any:
        return multiprocessing.parent_process()


def kills(tmp: Path, *, workers: int) -> Step:
    """A study of about 200 cells that is killed until it is done: the process, or one of its workers, by turns.

    One step is one study.
    """
    question()
    crew.multiprocessing = Forks()  # type: ignore[assignment]
    begun = time.monotonic()
    assert ended(forked(lambda: ask(tmp / "whole", workers))) == ACCEPTED
    took = time.monotonic() - begun
    whole = {r.cell: r for r in Store(tmp / "whole").records()}
    assert len(whole) >= 200

    def step(draw: random.Random) -> Mapping[str, float]:
        out, kept, counts = (
            tmp / "killed",
            dict[str, tuple[int, bytes]](),
            dict.fromkeys(("done", "kept", "lost", "repeated", "wrong", "orphans"), 0),
        )

        def look() -> None:
            found = {p.stem: (p.stat().st_ino, p.read_bytes()) for p in (out / "cells").glob("????????????????.json")}
            counts["lost"] += len(kept.keys() - found.keys())
            counts["repeated"] += sum(found.get(cell, made) != made for cell, made in kept.items())
            kept.update(found)

        code, rounds = -signal.SIGKILL, draw.randint(8, 25)
        while code == -signal.SIGKILL and rounds:
            rounds -= 1
            child = forked(lambda: ask(out, workers))
            time.sleep(draw.uniform(0, 0.4 * took))  # each run goes on where the last one was
            crowd = children(child)
            if crowd and draw.random() < 0.5:  # a worker: the process goes on without it, and is killed later
                with suppress(ProcessLookupError):
                    os.kill(draw.choice(crowd), signal.SIGKILL)
                    counts["done"] += 1
                time.sleep(draw.uniform(0, 0.4 * took))
                crowd = children(child)
            os.kill(child, signal.SIGKILL)
            code = ended(child)
            counts["done"] += code == -signal.SIGKILL
            until = time.monotonic() + 5
            while any(map(alive, crowd)) and time.monotonic() < until:
                time.sleep(0.01)
            counts["orphans"] += sum(map(alive, crowd))
            look()
        counts["kept"] = len(kept)
        counts["wrong"] += (
            code not in (ACCEPTED, -signal.SIGKILL) or ended(forked(lambda: ask(out, workers))) != ACCEPTED
        )
        look()
        records = {r.cell: r for r in Store(out).records()}
        counts["lost"] += len(whole.keys() - records.keys())
        counts["wrong"] += sum(not alike(records[c], whole[c]) for c in records.keys() & whole.keys())
        shutil.rmtree(out)
        return counts

    return step


def races(tmp: Path) -> Step:
    """Two studies at once into one new folder, beside a process of one that may be interrupted."""
    made = [make_record(seed) for seed in range(3)]

    def step(draw: random.Random) -> Mapping[str, float]:
        out, gate, hurry = tmp / "race", time.time() + 0.02, draw.random() < 1 / 3

        def work(seed: int) -> None:
            while time.time() < gate:
                pass
            store = Store(out, {"seeds": [seed % 2]})
            with store.begun():
                if seed == 2 and hurry:
                    raise KeyboardInterrupt
                store.plan([made[seed].cell])
                store.write(made[seed])

        codes = [
            ended(child) for child in [forked(partial(work, seed)) for seed in range(3)]
        ]  # the third asks as the first
        accepted = {seed % 2 for seed, code in enumerate(codes) if code == ACCEPTED}
        wrong = 0
        try:
            wrong += len(accepted) == 1 and not Store(out, {"seeds": [accepted.copy().pop()]}).look().records
        except StudyError:
            wrong += 1
        shutil.rmtree(out)
        return {"done": 1, "accepted": int(len(accepted) != 1), "wrong": wrong}

    return step


def crowd(tmp: Path) -> Step:
    """Sixteen processes at the cells of one study.

    Each step kills a few, damages a file now and then, and lets the rest end.
    """
    records = [make_record(seed) for seed in range(CROWD)]
    spec = {"name": "crowd"}

    def work(seed: int, out: Path) -> None:
        store, order = Store(out, spec), list(records)
        random.Random(seed).shuffle(order)
        with store.begun():
            for record in order:
                if store.kept(record.cell) is None:
                    store.write(record)

    def step(draw: random.Random) -> Mapping[str, float]:
        out = tmp / "crowd"
        Store(out, spec).plan([r.cell for r in records])
        seeds = iter(range(10**9))
        at_work = {forked(partial(work, next(seeds), out)) for _ in range(16)}
        killed = 0
        while killed < 20:
            time.sleep(draw.uniform(0, 0.1))
            child = draw.choice(sorted(at_work))
            os.kill(child, signal.SIGKILL)
            killed += ended(child) == -signal.SIGKILL
            at_work = at_work - {child} | {forked(partial(work, next(seeds), out))}
            files = sorted((out / "cells").glob("????????????????.json"))
            if files and draw.random() < 0.3:
                file = draw.choice(files)
                with suppress(FileNotFoundError):
                    text = bytearray(file.read_bytes())
                    text[draw.randrange(len(text))] ^= 1 << draw.randrange(8)
                    file.write_bytes(text)
        wrong = sum(ended(child) != ACCEPTED for child in at_work)
        assert ended(forked(partial(work, -1, out))) == ACCEPTED
        held = Store(out).look()
        found = {r.cell: r for r in held.records}
        wrong += len(held.damaged) + sum(found[r.cell] != r for r in records if r.cell in found)
        shutil.rmtree(out)
        return {"done": killed, "kept": len(found), "lost": len(held.missing), "wrong": wrong}

    return step


RAY = {
    "name": "three equal nets",
    "data": "digits",
    "limit": 200,
    "layers": ["block2"],
    "objectives": ["match"],
    "controls": ["random"],
    "seeds": [0, 1, 2],
    "pairs": "all",
    "donors": dict.fromkeys("abc", "zoo:small-resnet?width=2"),
    "engine": "ray",
}


def ask_ray(out: str, address: str) -> None:
    """A driver of a study on a cluster that runs."""
    run_study(parse_spec(RAY), out, device="cpu", address=address)


def on_ray(tmp: Path) -> Step:
    """A study on a cluster of two nodes.

    A step ends a worker, the driver or a node, by turns, and lets the next run end.
    """
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    atexit.register(cluster.shutdown)
    nodes = [cluster.add_node(num_cpus=1)]
    records, _ = run_study(parse_spec({**RAY, "engine": "local"}), tmp / "whole", device="cpu")
    whole = {r.cell: r for r in records}
    turns = iter(range(10**9))
    code = "import sys, faults_studies; faults_studies.ask_ray(*sys.argv[1:])"

    def driver(out: Path) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-c", code, str(out), cluster.address]
        with (tmp / "said").open("wb") as said:
            return subprocess.Popen(words, stdout=said, stderr=said)

    def workers() -> list[int]:  # not Ray's agents, with which a node ends
        raylets = [node.all_processes["raylet"][0].process.pid for node in (cluster.head_node, *nodes)]
        return [
            child
            for raylet in raylets
            for child in children(raylet)
            if (name := Path(f"/proc/{child}/cmdline").read_bytes()).startswith(b"ray::") and b"Agent" not in name
        ]

    def step(draw: random.Random) -> Mapping[str, float]:
        out, what = tmp / "ray", ("worker", "driver", "node")[next(turns) % 3]
        process, until, kept = driver(out), time.monotonic() + 300, dict[Path, tuple[int, bytes]]()
        wanted = draw.randrange(1, len(whole) // 2)
        while (
            process.poll() is None and time.monotonic() < until and len(list((out / "cells").glob("*.json"))) < wanted
        ):
            time.sleep(0.01)
        done = process.poll() is None
        if what == "worker":
            found = workers()
            done = done and bool(found)
            for worker in found[:1]:
                os.kill(worker, signal.SIGKILL)
        elif what == "driver":
            process.kill()
        else:
            cluster.remove_node(nodes.pop(), allow_graceful=False)
        if what != "driver":
            with suppress(subprocess.TimeoutExpired):
                process.wait(300)
        process.kill()
        process.wait()
        kept = {path: (path.stat().st_ino, path.read_bytes()) for path in (out / "cells").glob("????????????????.json")}
        if not nodes:
            nodes.append(cluster.add_node(num_cpus=1))
        code = driver(out).wait(600)
        if code:  # why is no part of the table
            print(f"after a killed {what}: {(tmp / 'said').read_text(errors='replace')[-2000:]}", file=sys.stderr)
        held = {r.cell: r for r in Store(out).records()} if (out / "study.json").exists() else {}
        repeated = sum((path.stat().st_ino, path.read_bytes()) != made for path, made in kept.items())
        wrong = (code != 0) + sum(not alike(held[c], whole[c]) for c in held.keys() & whole.keys())
        shutil.rmtree(out, ignore_errors=True)
        return {
            "done": int(done),
            "kept": len(kept),
            "lost": len(whole.keys() - held.keys()),
            "repeated": repeated,
            "wrong": wrong,
        }

    return step


PIECES: dict[str, tuple[int, Callable[[Path], Step]]] = {
    "kill -9 of a study of 200 cells": (250, partial(kills, workers=0)),
    "kill -9 of such a study by two workers, and of these": (250, partial(kills, workers=2)),
    "two studies into one new folder": (200, races),
    "sixteen processes at 2,000 cells": (60, crowd),
    "workers, drivers and nodes of Ray": (30, on_ray),
}
