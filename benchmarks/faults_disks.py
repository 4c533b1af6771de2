"""A file system whose n-th call fails, for every n: what is written to it, and what is there then."""

from __future__ import annotations

import builtins
import errno
import io
import os
import random
import shutil
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from faults_kept import _grid
from faults_made import make_network, make_record
from safetensors import SafetensorError

import modelstitch as ms
from modelstitch.moments.grid import MomentsGrid
from modelstitch.moments.moments import Moments
from modelstitch.records.record import equal_results
from modelstitch.results import Results
from modelstitch.stitchers import Affine, Site
from modelstitch.study.store import Store
from modelstitch.support import hashing, tensors
from modelstitch.support.resume import Unfinished
from modelstitch.zoo import donors
from modelstitch.zoo.nets import build

CODES = (errno.ENOSPC, errno.EIO, errno.EDQUOT)
Write = Callable[[Path, int], object]  # into a folder, the first version or another
Look = Callable[[Path], object]  # what is read there


class Disk:
    """Counts calls that change a folder, and lets one of them fail."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls, self.fails, self.failed = str(folder), 0, 0, ""

    @contextmanager
    def failing(self, n: int) -> Iterator[None]:
        """A while in which call number ``n`` fails; 0 lets all pass."""
        self.calls, self.fails, self.failed = 0, n, ""
        before: list[tuple[Any, str, Any]] = []

        def put(owner: Any, name: str, made: Callable[[Any], Any]) -> None:
            before.append((owner, name, getattr(owner, name)))
            setattr(owner, name, made(getattr(owner, name)))

        for name in ("replace", "rename", "link", "mkdir", "fsync"):
            put(os, name, partial(self._call, name))
        put(os, "open", self._os_open)
        put(builtins, "open", self._open)
        put(io, "open", self._open)
        put(tensors, "save_file", self._save_file)
        try:
            yield
        finally:
            for owner, name, value in reversed(before):
                setattr(owner, name, value)

    def _meet(self, name: str, path: Any) -> None:
        if name != "fsync" and not (isinstance(path, str | os.PathLike) and os.fspath(path).startswith(self.folder)):
            return
        self.calls += 1
        if self.calls == self.fails:
            self.failed = name
            code = CODES[self.calls % len(CODES)]
            raise OSError(code, os.strerror(code), None if name == "fsync" else os.fspath(path))

    def _call(self, name: str, real: Any) -> Any:
        def call(path: Any, *args: Any, **kwargs: Any) -> Any:
            self._meet(name, path)
            return real(path, *args, **kwargs)

        return call

    def _os_open(self, real: Any) -> Any:
        def call(path: Any, flags: int, *args: Any, **kwargs: Any) -> Any:
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self._meet("open", path)
            return real(path, flags, *args, **kwargs)

        return call

    def _open(self, real: Any) -> Any:
        def call(path: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if not any(m in mode for m in "wax+"):
                return real(path, mode, *args, **kwargs)
            self._meet("open", path)
            file = real(path, mode, *args, **kwargs)
            return _File(file, partial(self._meet, "write", path))

        return call

    def _save_file(self, real: Any) -> Any:
        def call(values: Any, path: Any, *args: Any, **kwargs: Any) -> Any:
            real(values, path, *args, **kwargs)
            try:
                self._meet("write", path)
            except OSError as error:
                os.truncate(path, os.path.getsize(path) // 2)
                raise SafetensorError(
                    f"Error while serializing: I/O error: {error.strerror} (os error {error.errno})"
                ) from None

        return call


class _File:
    """A file whose writes are met; half of what fails is written."""

    def __init__(self, file: Any, meet: Callable[[], None]) -> None:
        self._file, self._meet = file, meet

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _File:
        self._file.__enter__()
        return self

    def __exit__(self, *args: Any) -> Any:
        return self._file.__exit__(*args)

    def write(self, content: Any) -> Any:
        try:
            self._meet()
        except OSError:
            self._file.write(content[: len(content) // 2])
            raise
        return self._file.write(content)


def every(make: Callable[[Path], tuple[Write, Look]], tmp: Path) -> Callable[[random.Random], Mapping[str, float]]:
    """One step: all n, one after the other."""
    write, look = make(tmp)
    old, new, disk = tmp / "old", tmp / "new", Disk(tmp / "now")
    for folder, version in ((old, 0), (new, 0), (new, 1)):
        folder.mkdir(exist_ok=True)
        write(folder, version)
    allowed = [look(old), look(new)]

    def step(draw: random.Random) -> Mapping[str, float]:
        counts = Counter[str]()
        n = 0
        while n == 0 or disk.failed:
            shutil.rmtree(tmp / "now", ignore_errors=True)
            shutil.copytree(old, tmp / "now")
            n += 1
            error: BaseException | None = None
            with disk.failing(n):
                try:
                    write(tmp / "now", 1)
                except Exception as caught:
                    error = caught
            if not disk.failed:
                break
            counts["done"] += 1
            counts[_came(error, f"{make}: call {n}, {disk.failed}")] += 1
            counts["left"] += sum(path.name.startswith(".tmp-") for path in (tmp / "now").rglob("*"))
            try:
                harmed = look(tmp / "now") not in allowed
            except Exception as caught:
                harmed = True
                print(
                    f"{make}: call {n}, {disk.failed}: then {type(caught).__name__}: {caught!s:.200}", file=sys.stderr
                )
            counts["harmed"] += harmed
            if harmed:
                print(f"{make}: call {n}, {disk.failed}: harmed", file=sys.stderr)
        return {key: counts[key] for key in ("done", "told", "passed", "foreign", "harmed", "left")}

    return step


def _came(error: BaseException | None, where: str) -> str:
    if error is None:
        return "passed"
    if isinstance(error, ms.StitchError) and "\n" not in str(error):
        return "told"
    print(
        f"{where}: {type(error).__name__}: {error!s:.200} at {traceback.extract_tb(error.__traceback__)[-1:]}",
        file=sys.stderr,
    )
    return "foreign"


def study(tmp: Path) -> Callable[[random.Random], Mapping[str, float]]:
    """One step: a comparison for every n, and the one after it."""
    a, b = make_network("a"), make_network("b")
    x = torch.randn(120, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    parts = [torch.utils.data.TensorDataset(x[i : i + 40], (x[i : i + 40, 0, 0, 0] > 0).long()) for i in (0, 40, 80)]
    data, disk = ms.Data(*parts, n_classes=3), Disk(tmp / "now")

    def ask(out: Path) -> list[Any]:
        found = ms.compare(a, b, data, layers=["2"], objective="match", controls="none", device="cpu", out=out)
        return found.records

    whole = ask(tmp / "whole")

    def step(draw: random.Random) -> Mapping[str, float]:
        counts, n = Counter[str](), 0
        warnings.simplefilter("ignore")
        while n == 0 or disk.failed:
            shutil.rmtree(tmp / "now", ignore_errors=True)
            n += 1
            error: BaseException | None = None
            with disk.failing(n):
                try:
                    ask(tmp / "now")
                except Exception as caught:
                    error = caught
            if not disk.failed:
                break
            counts["done"] += 1
            counts[_came(error, f"study: call {n}, {disk.failed}")] += 1
            files = {path: path.read_bytes() for path in (tmp / "now" / "cells").glob("????????????????.json")}
            try:
                again = ask(tmp / "now")
                right = all(equal_results(one, other) for one, other in zip(again, whole, strict=True))
                counts["unequal"] += not right or any(path.read_bytes() != text for path, text in files.items())
            except Exception as caught:
                counts["unequal"] += 1
                print(f"study: call {n}, {disk.failed}: then {type(caught).__name__}: {caught!s:.300}", file=sys.stderr)
            counts["left"] += sum(path.name.startswith(".tmp-") for path in (tmp / "now").rglob("*"))
        return {key: counts[key] for key in ("done", "told", "passed", "foreign", "left", "unequal")}

    return step


def record(tmp: Path) -> tuple[Write, Look]:
    def write(folder: Path, version: int) -> None:
        store = Store(folder, {"name": "tiny"})
        with store.begun():
            store.plan([make_record(n).cell for n in range(3)])
            store.write(make_record(version))

    def look(folder: Path) -> object:
        held = Store(folder).look()
        return sorted(r.cell for r in held.records), held.missing, held.damaged

    return write, look


def in_file(write: Write, look: Look, tmp: Path) -> tuple[Write, Look]:
    return (lambda folder, version: write(folder / "file", version)), (lambda folder: look(folder / "file"))


def moments(path: Path, version: int) -> None:
    torch.manual_seed(version)
    Moments.of(torch.randn(50, 4), torch.randn(50, 3)).save(path)


def state(path: Path) -> object:
    found = Unfinished(path).read()
    return None if found is None else found["step"]


def donor(tmp: Path) -> tuple[Write, Look]:
    module = build("small-resnet?width=2&in_channels=1&classes=10", seed=0)
    card = {"name": "small", "net": "small-resnet?width=2&in_channels=1&classes=10", "identity": {}, "checkpoints": [1]}

    def write(folder: Path, version: int) -> None:
        if version:
            made = donors.Donor("small", module, dict(card))
            donors._save(made, {1: module.state_dict()}, folder / "donor")

    def look(folder: Path) -> object:
        return donors.load_donor(folder / "donor", step=1).card if (folder / "donor").exists() else None

    return write, look


def stitch(tmp: Path) -> tuple[Write, Look]:
    net = make_network()

    def write(folder: Path, version: int) -> None:
        torch.manual_seed(version)
        stitcher = Affine(Site(4, 4, "map"), torch.randn(4, 4), torch.randn(4))
        statistics = {f"bottom.1.{key}": torch.rand(4) for key in ("mean", "var")}
        ms.Stitched(net, net, "2", "2", stitcher, family="affine", statistics=statistics).save(folder)

    def look(folder: Path) -> object:
        found = ms.Stitched.load(folder, net, net)
        return hashing.of_tensors({**found.stitcher.state_dict(), **found._statistics})

    return write, look


def results(tmp: Path, *, ending: str) -> tuple[Write, Look]:
    def write(folder: Path, version: int) -> None:
        found = Results([make_record(version)], {"name": "tiny"})
        target = folder / "deep" / f"file{ending}"
        if ending == ".html":
            found.report(target)
        elif ending == ".svg":
            import matplotlib as mpl

            with mpl.rc_context({"svg.hashsalt": "one"}):
                found.draw(target)
        else:
            found.save(target)

    def look(folder: Path) -> object:
        text = (folder / "deep" / f"file{ending}").read_bytes()
        return b"\n".join(line for line in text.splitlines() if b"<dc:date>" not in line)

    return write, look


_FILES: dict[str, tuple[Write, Look]] = {
    "moments": (moments, lambda path: Moments.load(path).xy.tolist()),
    "sums of all pairs": (
        lambda path, version: _grid(version).save(path),
        lambda path: MomentsGrid.load(path).xy.tolist(),
    ),
    "unfinished state": (lambda path, version: Unfinished(path).write({"step": version}), state),
}
_MADE: dict[str, Callable[[Path], tuple[Write, Look]]] = {
    "study folder, plan and record": record,
    **{name: partial(in_file, *both) for name, both in _FILES.items()},
    "donor's folder": donor,
    "saved stitch over another": stitch,
    **{
        f"results to {ending}": partial(results, ending=ending)
        for ending in (".parquet", ".csv", ".json", ".html", ".svg")
    },
}
PIECES: dict[str, tuple[int, Callable[[Path], Callable[[random.Random], Mapping[str, float]]]]] = {
    **{name: (1, partial(every, make)) for name, make in _MADE.items()},
    "a comparison, then again": (1, study),
}
