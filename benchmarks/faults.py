"""What faults do: broken files to their readers, changes to what is kept, failing disks, kills and races to a study.

    python benchmarks/faults.py list
    python benchmarks/faults.py run readers kept --seconds 300 --state runs/faults
    python benchmarks/faults.py run "readers: spec" --n 200000
    python benchmarks/faults.py page --state runs/faults --out docs/results/faults.md

A piece is one row of a table. ``run`` goes on with each where its state (one small file a piece) ends, writes it every
few seconds, and stops at the piece's number, at ``--n``, or after ``--seconds``: it may be killed and started again at
any time. The state of another commit's sources is begun anew; sources that are not committed make a page that says so.
``page`` writes the tables. The exit code of both says whether anything was found that must not be.

``readers`` feeds mutated inputs to every reader of files and notations of others. An input is *read*, or *refused* (an
error of modelstitch, in one sentence); any other error is *foreign*, and so are an answer after more than two seconds
of computing and a sentence that would steer a terminal. ``kept`` changes every kind of kept file by a flipped bit,
another digit, a splice with a file of the same kind, a cut, or the whole of such a file where it is bound to what it is
kept for: the change is *noticed* (refused, or set aside with a warning), or it changes *nothing* of what is read (white
space), or it is *believed*. ``disks`` lets the n-th call of the file system fail, for every n that there is: the old
file or none must be there, and one sentence; a study goes on with the next run. ``studies`` ends a study with SIGKILL
at random moments (all of it, or one of its workers), lets two studies come into one new folder, lets 16 processes make
the cells of one, and ends workers, nodes and drivers of Ray. The table must be that of an undisturbed run: errors,
penalties and answers to the last digit, distances between activations to nine digits.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

ROOT = Path(__file__).parents[1]
SAVED = 5.0  # seconds between two writes of a state
Step = Callable[[random.Random], Mapping[str, float]]  # one or several inputs, kills, ...: what came of them


@dataclass(frozen=True)
class Piece:
    """One row: its name, how many inputs or kills it is to have, and what makes a step from a scratch folder."""

    name: str
    wanted: int
    open: Callable[[Path], Step]


@dataclass(frozen=True)
class Section:
    """One table.

    Attributes:
        columns: {key of a count: its title}; ``done`` is the first.
        bad: keys of counts that must be 0.
    """

    title: str
    columns: dict[str, str]
    bad: tuple[str, ...]
    pieces: Callable[[], list[Piece]]


def _readers() -> list[Piece]:
    import faults_readers

    return [Piece(name, n, open_) for name, (n, open_) in faults_readers.PIECES.items()]


def _kept() -> list[Piece]:
    import faults_kept

    return [Piece(name, n, open_) for name, (n, open_) in faults_kept.PIECES.items()]


def _disks() -> list[Piece]:
    import faults_disks

    return [Piece(name, n, open_) for name, (n, open_) in faults_disks.PIECES.items()]


def _studies() -> list[Piece]:
    import faults_studies

    return [Piece(name, n, open_) for name, (n, open_) in faults_studies.PIECES.items()]


SECTIONS = {
    "readers": Section(
        "Mutated inputs to readers",
        {
            "done": "inputs",
            "read": "read",
            "refused": "refused",
            "foreign": "foreign errors",
            "slow": "slow",
            "steering": "steering",
            "max s": "slowest (s)",
        },
        ("foreign", "slow", "steering"),
        _readers,
    ),
    "kept": Section(
        "Changes of kept files",
        {
            "done": "changes",
            "noticed": "noticed",
            "nothing": "nothing changed",
            "believed": "believed",
            "foreign": "foreign errors",
        },
        ("believed", "foreign"),
        _kept,
    ),
    "disks": Section(
        "The n-th failing call of the file system, for every n",
        {
            "done": "calls that failed",
            "told": "told in a sentence",
            "passed": "passed over",
            "foreign": "foreign errors",
            "harmed": "old file harmed, or half a new one",
            "left": "temporary files left",
            "unequal": "reruns unlike an undisturbed run",
        },
        ("foreign", "harmed", "left", "unequal"),
        _disks,
    ),
    "studies": Section(
        "Kills and races",
        {
            "done": "kills or races",
            "kept": "cells kept meanwhile",
            "lost": "lost",
            "repeated": "made twice",
            "wrong": "unlike an undisturbed run",
            "orphans": "processes left behind",
            "accepted": "both accepted or none",
        },
        ("lost", "repeated", "wrong", "orphans", "accepted"),
        _studies,
    ),
}


def chosen(words: list[str]) -> list[tuple[str, Piece]]:
    """The pieces that are meant: of a section, or one, as ``section: name``."""
    found = []
    for word in words:
        section, _, name = word.partition(": ")
        pieces = SECTIONS[section].pieces() if section in SECTIONS else []
        these = [(section, piece) for piece in pieces if name in ("", piece.name)]
        if not these:
            raise SystemExit(f"There is no piece {word!r}: see `list`.")
        found += these
    return found


def run(
    section: str, piece: Piece, *, n: int | None, seconds: float, seed: int, state: Path | None, scratch: Path
) -> dict[str, Any]:
    """Make steps of a piece until it has enough, and give its state."""
    file = _file(state, section, piece)
    held = _held(file, seed)
    wanted, started = n or piece.wanted, time.monotonic()
    if held["counts"].get("done", 0) >= wanted:
        return held
    with tempfile.TemporaryDirectory(prefix="faults-", dir=scratch) as tmp, warnings.catch_warnings():
        step = piece.open(Path(tmp))
        begun, saved, before = time.monotonic(), time.monotonic(), held["seconds"]
        while held["counts"].get("done", 0) < wanted and time.monotonic() - started < seconds:
            found = step(random.Random(f"{seed} {section} {piece.name} {held['steps']}"))
            for key, value in found.items():
                kept = held["counts"].get(key, 0)
                held["counts"][key] = max(kept, value) if key.startswith("max") else kept + value
            held["steps"] += 1
            held["seconds"] = before + time.monotonic() - begun
            if time.monotonic() - saved > SAVED:
                _write(file, held)
                saved = time.monotonic()
    _write(file, held)
    return held


def _file(state: Path | None, section: str, piece: Piece) -> Path | None:
    return None if state is None else state / f"{section}-{piece.name}.json".replace(" ", "-")


@functools.cache
def _sources() -> tuple[list[Any], str, bool]:
    """The trees of the sources, the commit, and whether anything is not committed."""

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True).stdout.strip()

    trees = [git("rev-parse", f"HEAD:{folder}") for folder in ("src", "benchmarks")]
    return trees, git("rev-parse", "--short", "HEAD"), bool(git("status", "--porcelain", "src", "benchmarks"))


def _held(file: Path | None, seed: int) -> dict[str, Any]:
    """The state so far, if it is of these sources."""
    sources, commit, changed = _sources()
    sources = [*sources, seed]
    if file is not None and file.exists() and not changed:
        held: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if held["sources"] == sources:
            return held
    commit += " with changes" if changed else ""
    return {"sources": sources, "commit": commit, "steps": 0, "seconds": 0.0, "counts": {}, "seed": seed}


def _write(file: Path | None, held: dict[str, Any]) -> None:
    held["date"] = f"{datetime.now(UTC):%Y-%m-%d}"
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_suffix(".new")
        beside.write_text(json.dumps(held), encoding="utf-8")
        os.replace(beside, file)


def table(section: str, rows: dict[str, dict[str, Any]]) -> tuple[list[str], int]:
    """The lines of a table, and how much it holds that must not be."""
    asked = SECTIONS[section]
    columns = {
        key: title for key, title in asked.columns.items() if any(key in held["counts"] for held in rows.values())
    }
    lines = [
        f"## {asked.title}",
        "",
        f"| | {' | '.join(columns.values())} | minutes | commit, date |",
        f"|{'---|' * (len(columns) + 3)}",
    ]
    bad = 0
    for name, held in rows.items():
        counts = held["counts"]
        bad += sum(counts.get(key, 0) for key in asked.bad)
        cells = [
            "" if key not in counts else f"{counts[key]:.2f}" if key.startswith("max") else f"{counts[key]:,}"
            for key in columns
        ]
        lines.append(
            f"| {name} | {' | '.join(cells)} | {held['seconds'] / 60:.1f} | {held['commit']}, {held.get('date', '')} |"
        )
    return [*lines, ""], bad


def main(words: list[str] | None = None) -> int:
    """Run pieces or write the page; the exit code says whether anything was found that must not be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["list", "run", "page"])
    parser.add_argument("pieces", nargs="*", help=f"{', '.join(SECTIONS)}, or one piece as `list` names it")
    parser.add_argument("--n", type=int, help="how many of each, in place of the piece's own number")
    parser.add_argument("--seconds", type=float, default=600, help="at most, of each piece")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", type=Path, help="the folder of states; without one nothing is kept")
    parser.add_argument(
        "--scratch", type=Path, help="where files are made; in memory by default, where the system has that"
    )
    parser.add_argument("--out", type=Path, help="the page")
    asked = parser.parse_intermixed_args(words)
    import torch

    torch.set_num_threads(1)
    shared = Path("/dev/shm")
    scratch = asked.scratch or (
        shared if shared.is_dir() and shutil.disk_usage(shared).free > 1 << 30 else Path(tempfile.gettempdir())
    )
    lines, bad = [], 0
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for section, piece in chosen(asked.pieces or list(SECTIONS)):
        if asked.what == "list":
            print(f"{section}: {piece.name}  ({piece.wanted:,})")
            continue
        if asked.what == "run":
            held = run(
                section, piece, n=asked.n, seconds=asked.seconds, seed=asked.seed, state=asked.state, scratch=scratch
            )
            print(f"{section}: {piece.name}: {json.dumps(held['counts'])}", flush=True)
        elif (file := _file(asked.state, section, piece)) is not None and file.exists():
            held = json.loads(file.read_text(encoding="utf-8"))  # of the commit that it names
        else:
            continue
        rows.setdefault(section, {})[piece.name] = held
    for section, held_rows in rows.items():
        found, much = table(section, held_rows)
        lines += found
        bad += int(much)
    if asked.what == "page":
        print("\n".join(lines))
    if asked.out is not None and asked.what == "page":
        where = f"{platform.platform(terse=True)}, {os.cpu_count()} processors, Python {platform.python_version()}"
        about = [
            "# Faults survived",
            "",
            "`python benchmarks/faults.py run PIECE`, piece by piece, each at the commit of its line, beside other "
            f"work on the machine ({where}); then `python benchmarks/faults.py page`. Seed {asked.seed}.",
            "",
            "\n\n".join(str(__doc__).split("\n\n")[3:]),
        ]
        asked.out.write_text("\n".join([*about, *lines]).rstrip() + "\n", encoding="utf-8")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
