"""Changes to every kind of file that is kept, and what is read of them then."""

from __future__ import annotations

import random
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import torch
from faults_made import make_donor, make_network, make_record
from faults_readers import cut, digit, flip, splice
from forks import Forks
from torch import nn

import modelstitch as ms
from modelstitch.moments.grid import MomentsGrid
from modelstitch.moments.moments import Moments
from modelstitch.paper.donors import Workshop
from modelstitch.records.parquet import records_from_parquet, records_to_parquet
from modelstitch.report.similarities import SCHEMA, write_parquet
from modelstitch.stitchers import Affine, Site
from modelstitch.study.store import Store
from modelstitch.support import hashing, tables
from modelstitch.support.files import SetAside
from modelstitch.support.hashing import canonical_json
from modelstitch.support.resume import Unfinished
from modelstitch.zoo.donors import load_donor

MANY = 100  # changes a step
KEPT = 3  # records of a study


class Told(Exception):
    """A change that was noticed without an error of its own: the work is done again."""


Pair = tuple[Path, Path, Callable[[], object]]  # a file, another of its kind, and what is read of the first


def record(tmp: Path) -> Pair:
    stores = _stores(tmp)

    def read() -> object:
        found = stores[0].look().records
        if len(found) < KEPT:
            raise Told
        return [r.plain() for r in found]

    one, two = (store.path / "cells" / f"{make_record(10 * seed).cell}.json" for seed, store in enumerate(stores))
    return one, two, read


def study(tmp: Path, *, name: str) -> Pair:
    stores = _stores(tmp)

    def read() -> object:
        found = ms.open(stores[0].path)
        return found.spec, found.missing, [r.cell for r in found.records], Store(stores[0].path).look().stale

    one, two = (store.path / name for store in stores)
    return one, two, read


def state(tmp: Path) -> Pair:
    for seed in (0, 1):
        (tmp / str(seed)).mkdir()
        Unfinished(tmp / str(seed) / f"state-{seed}").write({"step": 3 + seed, "weights": torch.randn(20)})

    def read() -> object:
        found = Unfinished(tmp / "0" / "state-0").read()
        if found is None:
            raise Told
        return found["step"], hashing.of_tensors({"w": found["weights"]})

    return tmp / "0" / "state-0", tmp / "1" / "state-1", read


def donor(tmp: Path, *, name: str, step: int | None = None) -> Pair:
    one, two = (make_donor(tmp, seed) for seed in (0, 1))

    def read() -> object:
        found = load_donor(one, step=step)
        return found.card, _hash(found.module)

    return one / name, two / name, read


def drawn(tmp: Path) -> Pair:
    """A network that a figure draws anew, kept beside the donors."""
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))

    def read(seed: int = 0) -> object:
        given = SimpleNamespace(cache=tmp, donor=lambda model: SimpleNamespace(card={"identity": {"seed": seed}}))
        found = Workshop._kept(given, SimpleNamespace(name="a", file=None), module, told)  # type: ignore[arg-type]
        return _hash(found)

    def told() -> nn.Module:
        raise Told

    files = []
    for seed in (0, 1):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            told_not = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
        given = SimpleNamespace(
            cache=tmp, donor=lambda model, seed=seed: SimpleNamespace(card={"identity": {"seed": seed}})
        )
        before = set(tmp.iterdir())
        model: Any = SimpleNamespace(name="a", file=None)
        Workshop._kept(given, model, module, lambda made=told_not: made)
        files += set(tmp.iterdir()) - before
    return files[0], files[1], read


def moments(tmp: Path) -> Pair:
    for seed in (0, 1):
        torch.manual_seed(seed)
        Moments.of(torch.randn(50, 4), torch.randn(50, 3)).save(tmp / str(seed))

    def read() -> object:
        found = Moments.load(tmp / "0")
        return found.n, hashing.of_tensors({k: v for k, v in vars(found).items() if isinstance(v, torch.Tensor)})

    return tmp / "0", tmp / "1", read


def sums(tmp: Path) -> Pair:
    for seed in (0, 1):
        _grid(seed).save(tmp / str(seed))

    def read() -> object:
        found = MomentsGrid.load(tmp / "0")
        return found.n, found.bottom_layers, found.top_layers, hashing.of_tensors(found.tensors())

    return tmp / "0", tmp / "1", read


def stitch(tmp: Path, *, name: str) -> Pair:
    for seed in (0, 1):
        net = make_network(seed=seed)
        torch.manual_seed(seed)
        stitcher = Affine(Site(4, 4, "map"), torch.randn(4, 4), torch.randn(4))
        statistics = {f"bottom.1.{key}": torch.rand(4) + seed for key in ("mean", "var")}
        ms.Stitched(net, net, "2", "2", stitcher, family="affine", statistics=statistics).save(tmp / str(seed))

    def read() -> object:
        found = ms.Stitched.load(tmp / "0")  # its donors come from the folder, too
        return found.seam, found.record, _hash(found), hashing.of_tensors(found._statistics)

    return tmp / "0" / name, tmp / "1" / name, read


def table(tmp: Path) -> Pair:
    for seed in (0, 1):
        records_to_parquet([make_record(10 * seed + number) for number in range(KEPT)], tmp / f"{seed}.parquet")

    def read() -> object:
        return canonical_json([r.plain() for r in records_from_parquet(tmp / "0.parquet")])

    return tmp / "0.parquet", tmp / "1.parquet", read


def similarities(tmp: Path) -> Pair:
    for seed in (0, 1):
        rows = [
            {name: seed + at if kind in (pl.Int64, pl.Float64) else "a" for name, kind in SCHEMA.items()}
            for at in range(3)
        ]
        write_parquet(rows, {"seed": seed}, tmp / f"{seed}.parquet")

    def read() -> object:
        found = ms.open(tmp / "0.parquet")
        return canonical_json({"rows": found.frame.to_dicts(), "spec": found.spec})

    return tmp / "0.parquet", tmp / "1.parquet", read


def change(
    make: Callable[[Path], Pair], bound: bool, many: int, tmp: Path
) -> Callable[[random.Random], Mapping[str, float]]:
    """A step of so many changes.

    Args:
        bound: a whole file of the same kind in the place of the first must be noticed, too: what a file stands for is
            not the caller's choice.
    """
    if make in (table, similarities):
        tables._trial = Forks().trial
    file, other, read = make(tmp)
    one, two = file.read_bytes(), other.read_bytes()
    right = read()
    assert read() == right

    def swap(draw: random.Random, content: bytes, other: bytes) -> bytes:
        return other

    ways = (flip, flip, digit, splice, cut)

    def step(draw: random.Random) -> Mapping[str, float]:
        counts = Counter[str]()
        for at in range(many):
            content = swap(draw, one, two) if bound and at == 0 else draw.choice(ways)(draw, one, two)
            if content == one or (content == two and not bound):
                continue
            counts["done"] += 1
            file.write_bytes(content)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error", SetAside)
                    found = read()
                came = "nothing" if found == right else "believed"
            except (ms.StitchError, SetAside, Told):
                came, found = "noticed", None
            except Exception as error:
                came, found = "foreign", error
            counts[came] += 1
            if came in ("believed", "foreign") and counts[came] <= 3:
                where = traceback.extract_tb(found.__traceback__)[-1:] if isinstance(found, Exception) else ""
                print(f"{make}: {came}: {found!r:.300} {where} from {content[:300]!r}", file=sys.stderr)
            for aside in file.parent.glob("*.aside-*"):
                aside.unlink()
            file.write_bytes(one)
        return {key: counts[key] for key in ("done", "noticed", "nothing", "believed", "foreign")}

    return step


def _stores(tmp: Path) -> list[Store]:
    """Two studies, each with a plan of more cells than it has."""
    found = []
    for seed in (0, 1):
        store = Store(
            tmp / f"store-{seed}",
            {"name": f"tiny {seed}", "families": ["affine"], "seeds": [seed], "pairs": [["a", "b"]]},
        )
        records = [make_record(10 * seed + number) for number in range(KEPT + 1)]
        store.plan([r.cell for r in records])
        for r in records[:KEPT]:
            store.write(r)
        found.append(store)
    return found


def _grid(seed: int) -> MomentsGrid:
    torch.manual_seed(seed)
    grid = MomentsGrid({"a": 4}, {"b": 3})
    grid.update({"a": torch.randn(50, 4)}, {"b": torch.randn(50, 3)})
    return grid


def _hash(module: nn.Module) -> str:
    return hashing.of_tensors(module.state_dict())


_MADE: dict[str, tuple[Callable[[Path], Pair], bool, int]] = {
    "record": (record, True, MANY),
    "study.json": (partial(study, name="study.json"), True, MANY),
    "planned.json": (partial(study, name="planned.json"), True, MANY),
    "unfinished state": (state, True, MANY),
    "donor's weights": (partial(donor, name="weights.safetensors"), True, 50),
    "donor's checkpoint": (partial(donor, name="step-1.safetensors", step=1), True, 50),
    "donor's card": (partial(donor, name="card.json"), True, MANY),
    "drawn network": (drawn, True, MANY),
    "moments": (moments, False, MANY),
    "sums of all pairs": (sums, False, MANY),
    "saved stitch: map": (partial(stitch, name="stitcher.safetensors"), True, MANY),
    "saved stitch: statistics": (partial(stitch, name="statistics.safetensors"), True, MANY),
    "saved stitch: part of a donor": (partial(stitch, name="bottom.safetensors"), True, 50),
    "saved stitch: description": (partial(stitch, name="stitch.json"), True, MANY),
    "exported table": (table, False, MANY),
    "saved similarities": (similarities, False, MANY),
}
PIECES = {name: (2_000, partial(change, make, bound, many)) for name, (make, bound, many) in _MADE.items()}
