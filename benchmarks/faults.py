"""What files that are broken, hostile or changed do to their readers: nothing foreign, nothing slow, nothing believed.

    python benchmarks/faults.py readers bits --n 2000 --seconds 120 --out docs/results/faults.md

``readers`` feeds mutated inputs to every reader of files and notations of others. An input is *read*, or *refused* (an error of
modelstitch, in one sentence); any other error is *foreign*, and so are an answer after more than ``SLOW`` seconds and a sentence
that would steer a terminal. ``bits`` changes every kind of kept file by a flipped bit, another digit, a splice with a file of
the same kind, a cut: the change is *noticed* (refused, or set aside with a warning), or it changes *nothing* of what is read
(white space), or it is *believed*. Foreign, slow and believed must be 0.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

import modelstitch as ms
from modelstitch.data.readers.tables import read_table
from modelstitch.models.weights import load_weights
from modelstitch.moments.grid import MomentsGrid
from modelstitch.moments.moments import Moments
from modelstitch.notation import parse
from modelstitch.stitchers import Affine, Site
from modelstitch.study.canonical import canonical_json, cell_hash
from modelstitch.study.parquet import records_from_parquet, records_to_parquet
from modelstitch.study.spec import load_spec
from modelstitch.study.store import Store
from modelstitch.support import hashing, tensors
from modelstitch.support.files import SetAside
from modelstitch.support.resume import Unfinished
from modelstitch.zoo.donors import DonorSpec, donor, load_donor
from modelstitch.zoo.train import Recipe

SLOW = 2.0  # seconds; one with an idle processor
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
TOKENS = [
    b"[" * 500, b"{" * 500, b'{"a":' * 200, b"9" * 5000, b"-1", b"NaN", b"1e999", b"Infinity", b"null", b'"', b"'", b"\\u0000", b"\x00",
    b"\x1b[2J", "\u202e".encode(), b"\xff\xfe", b"->", b"@", b"#2", b"a." * 500, b"\n", b"../" * 5, b"=", b",", b"\x80\x04",
    b"PAR1", b"PK\x03\x04", b"__metadata__", b"18446744073709551616", b"\xf0\x9f\x92\xa9",
]  # fmt: skip
SPEC = b"""name = "pairs"
data = "digits"
pairs = [["one", "two"]]
layers = ["layer1", "layer2 -> layer3"]
families = ["affine", "low-rank:4"]
objectives = ["match", "task"]
seeds = [0, 1]
normalisation = "frozen"

[donors]
one = "zoo:small-resnet?width=8"
two = {model = "zoo:resnet20", weights = "two.safetensors"}

[fit]
steps = 100
batch_size = 64
learning_rate = 1e-2
"""

Read = Callable[[bytes], object]


class Told(Exception):
    """A change that was noticed without an error of its own."""


def mutate(draw: random.Random, content: bytes, other: bytes) -> bytes:
    """One to three changes of any kind."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        content = draw.choice((flip, digit, cut, splice, insert, drop, double, overwrite))(draw, content, other)
    return content


def flip(draw: random.Random, content: bytes, other: bytes) -> bytes:
    """One bit."""
    at = draw.randrange(len(content) or 1)
    return content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :] if content else content


def digit(draw: random.Random, content: bytes, other: bytes) -> bytes:
    """One digit of a number; a bit where there is none."""
    places = [found.start() for found in re.finditer(rb"[0-9]", content[:100_000])]
    if not places:
        return flip(draw, content, other)
    at = draw.choice(places)
    return content[:at] + draw.choice(b"0123456789".replace(content[at : at + 1], b"")).to_bytes() + content[at + 1 :]


def cut(draw: random.Random, content: bytes, other: bytes) -> bytes:
    """The end is missing."""
    return content[: draw.randrange(len(content) or 1)]


def splice(draw: random.Random, content: bytes, other: bytes) -> bytes:
    """The beginning of one, the end of another."""
    at = draw.randrange(min(len(content), len(other)) or 1)
    return content[:at] + other[at:]


def insert(draw: random.Random, content: bytes, other: bytes) -> bytes:
    """Something that has a meaning to some reader."""
    at = draw.randrange(len(content) + 1)
    return content[:at] + draw.choice(TOKENS) + content[at:]


def drop(draw: random.Random, content: bytes, other: bytes) -> bytes:
    """Some bytes are missing."""
    at = draw.randrange(len(content) or 1)
    return content[:at] + content[at + draw.randrange(1, 40) :]


def double(draw: random.Random, content: bytes, other: bytes) -> bytes:
    """Some bytes are there twice."""
    at, n = draw.randrange(len(content) or 1), draw.randrange(1, 200)
    return content[: at + n] + content[at:]


def overwrite(draw: random.Random, content: bytes, other: bytes) -> bytes:
    """Some bytes are others."""
    at, n = draw.randrange(len(content) or 1), draw.randrange(1, 9)
    return content[:at] + draw.randbytes(n) + content[at + n :]


def readers(tmp: Path) -> dict[str, tuple[list[bytes], Read]]:
    """Every reader by name: whole inputs, and what reads one."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    torch.save(module.state_dict(), tmp / "new.pt")
    torch.save({"state_dict": module.state_dict(), "epoch": 3}, tmp / "old.pt", _use_new_zipfile_serialization=False)
    tensors.write(tmp / "w.safetensors", module.state_dict(), {"format": "pt"})
    made = _donor(tmp / "donors", 0)
    store = tmp / "store"
    record = _record(0)
    Store(store, {"name": "tiny"}).write(record)
    cell = store / "cells" / f"{record['cell']}.json"

    def put(name: str, read: Callable[[Path], object]) -> Read:
        def taken(content: bytes) -> object:
            path = tmp / name
            path.write_bytes(content)
            return read(path)

        return taken

    def weights(path: Path) -> None:
        load_weights(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)), path, name="net")

    def card(content: bytes) -> object:
        (made / "card.json").write_bytes(content)
        return load_donor(made)

    def sealed_card(content: bytes) -> object:
        try:
            values = json.loads(content)
        except (ValueError, RecursionError):
            values = None
        return card(json.dumps(hashing.sealed(values)).encode() if isinstance(values, dict) else content)

    def study(content: bytes) -> object:
        cell.write_bytes(content)
        return Store(store).records()

    table = "text,label\n" + "".join(f'"row {i}, quoted",{i % 3}\n' for i in range(20))
    lines = "".join(json.dumps({"text": f"row {i}", "label": i % 3}) + "\n" for i in range(20))
    _table().write_parquet(tmp / "t.parquet", compression="uncompressed")
    return {
        "spec": ([SPEC], put("spec.toml", load_spec)),
        "record": ([cell.read_bytes()], study),
        "notation": ([b"a@layer2 -> b@blocks.4", b"layer1#2", b"x -> y"], lambda c: parse(c.decode(errors="replace"))),
        "card": ([(made / "card.json").read_bytes()], card),
        "card, sealed anew": ([(made / "card.json").read_bytes()], sealed_card),
        "weights, safetensors": ([(tmp / "w.safetensors").read_bytes()], put("m.safetensors", weights)),
        "weights, torch.save": ([(tmp / "new.pt").read_bytes()], put("m.pt", weights)),
        "weights, torch.save of before": ([(tmp / "old.pt").read_bytes()], put("m.bin", weights)),
        "table, csv": ([table.encode()], put("m.csv", lambda p: read_table(p, "text", "label"))),
        "table, jsonl": ([lines.encode()], put("m.jsonl", lambda p: read_table(p, "text", "label"))),
        "table, parquet": ([(tmp / "t.parquet").read_bytes()], put("m.parquet", lambda p: read_table(p, "text", "label"))),
    }  # fmt: skip


def kept(tmp: Path) -> dict[str, tuple[bytes, bytes, Read]]:
    """Every kind of kept file by name: one, another of its kind, and what reads it into something that can be compared."""
    one, two = (_donor(tmp / "donors", seed) for seed in (0, 1))
    net = ms.Network(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)), torch.zeros(2, 1, 8, 8), "net"
    )
    cells: dict[int, Path] = {}
    for seed in (0, 1):
        torch.manual_seed(seed)
        x, y = torch.randn(50, 4), torch.randn(50, 3)
        Moments.of(x, y).save(tmp / f"moments-{seed}")
        grid = MomentsGrid({"a": 4}, {"b": 3})
        grid.update({"a": x}, {"b": y})
        grid.save(tmp / f"grid-{seed}")
        Unfinished(tmp / f"states-{seed}" / "state").write({"step": 3 + seed, "weights": torch.randn(20)})
        stitcher = Affine(Site(4, 4, "map"), torch.randn(4, 4), torch.randn(4))
        ms.Stitched(net, net, "0", "0", stitcher, family="affine").save(tmp / f"stitch-{seed}")
        store = Store(tmp / f"store-{seed}", {"name": f"tiny {seed}"})
        for number in range(3):
            store.write(_record(10 * seed + number))
        records_to_parquet(store.records(), tmp / f"table-{seed}.parquet")
        cells[seed] = tmp / f"store-{seed}" / "cells" / f"{_record(10 * seed)['cell']}.json"

    def in_place(path: Path, read: Callable[[], object]) -> Read:
        whole = path.read_bytes()

        def taken(content: bytes) -> object:
            path.write_bytes(content)
            try:
                return read()
            finally:
                for aside in path.parent.glob("*.aside-*"):
                    aside.unlink()
                path.write_bytes(whole)

        return taken

    def pair(name: str, read: Callable[[Path], object]) -> tuple[bytes, bytes, Read]:
        one, two = (tmp / name.format(seed) for seed in (0, 1))
        return one.read_bytes(), two.read_bytes(), in_place(one, lambda: read(one))

    def donors(name: str, step: int | None = None) -> tuple[bytes, bytes, Read]:
        def read() -> object:
            found = load_donor(one, step=step)
            return found.card, _hash(found.module)

        return (one / name).read_bytes(), (two / name).read_bytes(), in_place(one / name, read)

    def moments(path: Path) -> object:
        found = Moments.load(path)
        return found.n, hashing.of_tensors({k: v for k, v in vars(found).items() if isinstance(v, torch.Tensor)})

    def sums(path: Path) -> object:
        found = MomentsGrid.load(path)
        return found.n, found.bottom_layers, found.top_layers, hashing.of_tensors(found.tensors())

    def state(path: Path) -> object:
        found = Unfinished(path).read()
        if found is None:
            raise Told
        return found["step"], hashing.of_tensors({"w": found["weights"]})

    def stitch(path: Path) -> object:
        found = ms.Stitched.load(path.parent)
        return found.seam, found.record, _hash(found)

    def study() -> object:
        found = Store(tmp / "store-0").look().records
        if len(found) < 3:
            raise Told  # it is run again
        return [record.plain() for record in found]

    return {
        "record": (cells[0].read_bytes(), cells[1].read_bytes(), in_place(cells[0], study)),
        "donor's weights": donors("weights.safetensors"),
        "donor's checkpoint": donors("step-1.safetensors", 1),
        "donor's card": donors("card.json"),
        "moments": pair("moments-{}", moments),
        "sums of all pairs": pair("grid-{}", sums),
        "unfinished state": pair("states-{}/state", state),
        "saved stitch: map": pair("stitch-{}/stitcher.safetensors", stitch),
        "saved stitch: part of a donor": pair("stitch-{}/bottom.safetensors", stitch),
        "saved stitch: description": pair("stitch-{}/stitch.json", stitch),
        "exported table": pair(
            "table-{}.parquet", lambda path: canonical_json([record.plain() for record in records_from_parquet(path)])
        ),
    }


def run_readers(tmp: Path, n: int, seconds: float, seed: int) -> list[list[str]]:
    """A row a reader: inputs, read, refused, foreign, slow, steering, slowest."""
    rows = []
    for name, (whole, read) in readers(tmp).items():
        for content in whole:
            read(content)  # else nothing is tested
        draw, counts, slowest = random.Random(f"{seed} {name}"), Counter[str](), 0.0
        started = time.monotonic()
        while counts["inputs"] < n and time.monotonic() - started < seconds:
            content = mutate(draw, draw.choice(whole), draw.choice(whole))
            begun = time.process_time()
            counts["inputs"] += 1
            try:
                read(content)
                counts["read"] += 1
            except ms.StitchError as error:
                counts["refused"] += 1
                counts["steering"] += bool(STEERING.search(str(error)))
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                counts["foreign"] += 1
                if counts["foreign"] <= 3:
                    _tell(name, content, error)
            took = time.process_time() - begun
            slowest = max(slowest, took)
            counts["slow"] += took > SLOW
        rows.append(
            [
                name,
                *(f"{counts[k]:,}" for k in ("inputs", "read", "refused", "foreign", "slow", "steering")),
                f"{slowest:.2f}",
            ]
        )
    return rows


def run_bits(tmp: Path, n: int, seconds: float, seed: int) -> list[list[str]]:
    """A row a kind of file: changes, noticed, nothing changed, believed, foreign."""
    rows = []
    for name, (one, two, read) in kept(tmp).items():
        right = read(one)
        assert read(one) == right
        draw, counts = random.Random(f"{seed} {name}"), Counter[str]()
        started = time.monotonic()
        while counts["changes"] < n and time.monotonic() - started < seconds:
            content = draw.choice((flip, flip, digit, splice, cut))(draw, one, two)
            if content in (one, two):
                continue  # a whole file: what it is bound to is tested where its name or its company says so
            counts["changes"] += 1
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error", SetAside)
                    found = read(content)
                counts["nothing" if found == right else "believed"] += 1
                if found != right and counts["believed"] <= 3:
                    _tell(name, content, ValueError("believed"))
            except (ms.StitchError, SetAside, Told):
                counts["noticed"] += 1
            except Exception as error:
                counts["foreign"] += 1
                if counts["foreign"] <= 3:
                    _tell(name, content, error)
        rows.append([name, *(f"{counts[k]:,}" for k in ("changes", "noticed", "nothing", "believed", "foreign"))])
    return rows


SECTIONS: dict[str, tuple[str, list[str], Callable[[Path, int, float, int], list[list[str]]]]] = {
    "readers": (
        "Mutated inputs to readers",
        ["reader", "inputs", "read", "refused", "foreign errors", "slow", "steering", "slowest (s)"],
        run_readers,
    ),
    "bits": (
        "Changes of kept files",
        ["kept file", "changes", "noticed", "nothing changed", "believed", "foreign errors"],
        run_bits,
    ),
}


def _donor(cache: Path, seed: int) -> Path:
    data = ms.load_data("digits", limit=60)
    recipe = Recipe(steps=2, lr=0.05, batch_size=16, checkpoints=(1,))
    folder = donor(DonorSpec("small-resnet?width=2", recipe, seed=seed), data, cache).folder
    assert folder is not None
    return folder


def _record(seed: int) -> dict[str, Any]:
    config = {
        "family": "affine",
        "seed": seed,
        "bottom": {"name": "a", "layer": "l1"},
        "top": {"name": "b", "layer": "l2"},
    }
    return {
        "version": 1, "cell": cell_hash(config), "config": config, "notes": ["a note"], "correct": "gA==",
        "metrics": [{"metric": "penalty", "value": 1.5 + seed, "low": 0.25, "high": 2.75 + seed, "unit": "points"}],
        "provenance": {"torch": "2", "date": "2026-01-01", "seconds": 1.0},
    }  # fmt: skip


def _table() -> Any:
    import polars

    return polars.DataFrame({"text": [f"row {i}" for i in range(20)], "label": [i % 3 for i in range(20)]})


def _hash(module: nn.Module) -> str:
    return hashing.of_tensors(module.state_dict())


def _tell(name: str, content: bytes, error: BaseException) -> None:
    last = traceback.extract_tb(error.__traceback__)[-1:] or [None]
    print(f"{name}: {type(error).__name__}: {str(error)[:200]!r} at {last[0]} from {content[:300]!r}", file=sys.stderr)


def main(words: list[str] | None = None) -> int:
    """Run sections, print their tables, and say with the exit code whether anything was foreign, slow or believed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="+", choices=list(SECTIONS))
    parser.add_argument("--n", type=int, default=2000, help="inputs or changes of each kind")
    parser.add_argument("--seconds", type=float, default=120, help="at most, of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="the page to write")
    asked = parser.parse_args(words)
    torch.set_num_threads(1)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    lines, bad = [], 0
    for section in asked.sections:
        title, head, run = SECTIONS[section]
        with tempfile.TemporaryDirectory() as tmp:
            rows = run(Path(tmp), asked.n, asked.seconds, asked.seed)
        lines += [f"## {title}", "", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
        lines += [f"| {' | '.join(row)} |" for row in rows] + [""]
        counted = [i for i, name in enumerate(head) if name in ("foreign errors", "slow", "steering", "believed")]
        bad += sum(int(row[i].replace(",", "")) for row in rows for i in counted)
    print("\n".join(lines))
    if asked.out is not None:
        command = f"python benchmarks/faults.py {' '.join(asked.sections)} --n {asked.n} --seconds {asked.seconds:g} --seed {asked.seed}"
        top = [
            "# Faults survived",
            "",
            f"`{command}`, {datetime.now(UTC):%Y-%m-%d}, commit {commit}.",
            "",
            __doc__.split("\n\n")[2],
            "",
        ]
        asked.out.write_text("\n".join([*top, *lines]), encoding="utf-8")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
