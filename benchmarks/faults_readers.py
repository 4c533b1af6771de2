"""Mutated files and notations, and what reads them."""

from __future__ import annotations

import json
import random
import re
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import polars
import torch
from faults_made import SPECS, make_donor, make_records
from forks import Forks
from torch import nn

import modelstitch as ms
from modelstitch.data.readers.tables import read_table
from modelstitch.models.weights import load_weights
from modelstitch.notation import parse
from modelstitch.study.spec import load_spec
from modelstitch.study.store import Store
from modelstitch.support import hashing, tables, tensors
from modelstitch.zoo.donors import load_donor

SLOW = 2.0  # seconds of computing; a child's count, too
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
TOKENS = [
    b"[" * 500,
    b"{" * 500,
    b'{"a":' * 200,
    b"9" * 5000,
    b"-1",
    b"NaN",
    b"1e999",
    b"Infinity",
    b"null",
    b'"',
    b"'",
    b"\\u0000",
    b"\x00",
    b"\x1b[2J",
    "\u202e".encode(),
    b"\xff\xfe",
    b"->",
    b"@",
    b"#2",
    b"a." * 500,
    b"\n",
    b"../" * 5,
    b"=",
    b",",
    b"\x80\x04",
    b"PAR1",
    b"PK\x03\x04",
    b"__metadata__",
    b"18446744073709551616",
    b"\xf0\x9f\x92\xa9",
]

Read = Callable[[bytes], object]


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


def taken(path: Path, read: Callable[[Path], object]) -> Read:
    """What reads content that is put at a path first."""

    def put(content: bytes) -> object:
        path.write_bytes(content)
        return read(path)

    return put


def spec(tmp: Path) -> tuple[list[bytes], Read]:
    return [text.encode() for text in SPECS], taken(tmp / "spec.toml", load_spec)


def record(tmp: Path) -> tuple[list[bytes], Read]:
    """Through the store, under the cell's own name.

    Half of them sealed anew, so that what lies behind the digest is read.
    """
    records = make_records()
    store = Store(tmp / "store", {"name": "tiny"})

    def study(content: bytes) -> object:
        body, _, tail = content.partition(b',"digest":"')
        if tail and len(content) % 2:
            content = body + b',"digest":"' + hashing.of(body).encode() + b'"}'
        named = re.search(rb'"cell":"([0-9a-f]{16})"', content)
        cell = tmp / "store" / "cells" / f"{named[1].decode() if named else records[0].cell}.json"
        cell.write_bytes(content)
        try:
            return store.records()
        finally:
            cell.unlink()

    return [r.to_json() for r in records], study


def notation(tmp: Path) -> tuple[list[bytes], Read]:
    whole = [
        b"a@layer2 -> b@blocks.4",
        b"layer1#2",
        b"x -> y",
        b"resnet18@layer4.1#2 -> vit@blocks.11",
        "é@l -> ü@l".encode(),
    ]
    return whole, lambda content: parse(content.decode(errors="replace"))


def card(tmp: Path, *, sealed: bool) -> tuple[list[bytes], Read]:
    folder = make_donor(tmp / "donors", 0)
    path = folder / "card.json"

    def read(content: bytes) -> object:
        if sealed:
            try:
                values = json.loads(content)
            except (ValueError, RecursionError):
                values = None
            content = json.dumps(hashing.sealed(values)).encode() if isinstance(values, dict) else content
        path.write_bytes(content)
        return load_donor(folder)

    return [path.read_bytes()], read


def weights(tmp: Path, *, form: str) -> tuple[list[bytes], Read]:
    torch.manual_seed(0)

    def module() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))

    state, file = module().state_dict(), tmp / {"safetensors": "m.safetensors", "torch.save": "m.pt"}.get(form, "m.bin")
    if form == "safetensors":
        tensors.write(file, state, {"format": "pt"})
    elif form == "torch.save":
        torch.save(state, file)
    else:
        torch.save({"state_dict": state, "epoch": 3}, file, _use_new_zipfile_serialization=False)
    whole = file.read_bytes()
    return [whole], taken(file, lambda path: load_weights(module(), path, name="net"))


def table(tmp: Path, *, form: str) -> tuple[list[bytes], Read]:
    frame = polars.DataFrame({"text": [f"row {i}, quoted" for i in range(20)], "label": [i % 3 for i in range(20)]})
    wide = frame.with_columns(polars.col("label").cast(polars.String).alias("words"), polars.lit([1, 2]).alias("lists"))
    file, whole = tmp / f"m.{form}", []
    for some in (frame, wide.select(["text", "label", "words"])):
        if form == "csv":
            some.write_csv(file)
        elif form == "jsonl":
            some.write_ndjson(file)
        else:
            for compression in ("uncompressed", "zstd", "snappy"):
                (wide if some is not frame else frame).write_parquet(file, compression=compression)
                whole.append(file.read_bytes())
            continue
        whole.append(file.read_bytes())
    tables._trial = Forks().trial
    return whole, taken(file, lambda path: read_table(path, ["text", "label"]))


def fuzz(
    make: Callable[[Path], tuple[list[bytes], Read]], many: int, tmp: Path
) -> Callable[[random.Random], Mapping[str, float]]:
    """A step of so many inputs."""
    whole, read = make(tmp)
    for content in whole:
        read(content)  # else nothing is tested

    def step(draw: random.Random) -> Mapping[str, float]:
        counts, slowest = Counter[str](), 0.0
        for _ in range(many):
            content = mutate(draw, draw.choice(whole), draw.choice(whole))
            begun = time.process_time()
            try:
                read(content)
                came = "read"
            except ms.StitchError as error:
                came = "refused"
                counts["steering"] += bool(STEERING.search(str(error)))
            except BaseException as error:  # a panic is no Exception
                if isinstance(error, KeyboardInterrupt):
                    raise
                came = "foreign"
                if counts["foreign"] < 3:
                    last = traceback.extract_tb(error.__traceback__)[-1:] or [None]
                    print(
                        f"{type(error).__name__}: {str(error)[:200]!r} at {last[0]} from {content[:300]!r}",
                        file=sys.stderr,
                    )
            counts[came] += 1
            took = time.process_time() - begun
            counts["slow"] += took > SLOW
            slowest = max(slowest, took)
        keys = ("read", "refused", "foreign", "slow", "steering")
        return {"done": many, **{key: counts[key] for key in keys}, "max s": slowest}

    return step


_MADE = {
    "spec": (200_000, 500, spec),
    "record": (200_000, 500, record),
    "notation": (200_000, 5_000, notation),
    "card": (20_000, 200, partial(card, sealed=False)),
    "card, sealed anew": (20_000, 200, partial(card, sealed=True)),
    **{
        f"weights, {form}": (20_000, 200, partial(weights, form=form))
        for form in ("safetensors", "torch.save", "torch.save of before")
    },
    **{f"table, {form}": (20_000, 100, partial(table, form=form)) for form in ("csv", "jsonl", "parquet")},
}
PIECES = {name: (wanted, partial(fuzz, make, many)) for name, (wanted, many, make) in _MADE.items()}
