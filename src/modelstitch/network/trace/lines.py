"""Where in the user's own code something happened: file, line and text, for errors."""

from __future__ import annotations

import linecache
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import fx
from torch.fx import config
from torch.fx.experimental.symbolic_shapes import ShapeEnv

_HERE, _TORCH = str(Path(__file__).parents[1]), str(Path(torch.__file__).parent)
_PYTHON = sysconfig.get_path("stdlib")
_IN_TRACE = re.compile(r'File "(.+)", line (\d+), in')


@dataclass(frozen=True)
class SourceLine:
    """A line of code."""

    file: str
    number: int

    @property
    def text(self) -> str:
        """What is written there; empty where the file is not to be had."""
        return linecache.getline(self.file, self.number).strip()

    def __str__(self) -> str:
        return f"{self.file}:{self.number}" + (f" `{self.text[:120]}`" if self.text else "")


def is_own(file: str) -> bool:
    """Whether a file is the user's: not installed, not of Python, torch or this package's tracer."""
    return is_outside(file) and "-packages" not in file and not file.startswith(_PYTHON)


def line_of_error(error: BaseException) -> SourceLine | None:
    """The line of the user, or of the library that holds the module, at which an error was raised."""
    return _innermost([(f.filename, f.lineno or 0) for f in traceback.extract_tb(error.__traceback__)])


def line_of_node(node: fx.Node) -> SourceLine | None:
    """The line that made a value of a traced graph."""
    return _innermost([(file, int(at)) for file, at in _IN_TRACE.findall(node.meta.get("stack_trace") or "")])


def line_here(frame: FrameType | None = None) -> SourceLine | None:
    """The line that is being run, as far in as the module's forward has come."""
    frame, calls = frame or sys._getframe(1), []
    while frame is not None:
        calls.append((frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
        frame = frame.f_back
    inner = next((at for at, (file, _, name) in enumerate(calls) if _is_here(file) and name in _ENTRIES), len(calls))
    return _innermost([(file, at) for file, at, _ in reversed(calls[:inner])])


@contextmanager
def fixed_sizes() -> Iterator[list[SourceLine]]:
    """While it is entered, the lines at which a size that could be any becomes one number."""
    found: list[SourceLine] = []
    kind: Any = ShapeEnv
    replace = kind._set_replacement

    def noted(self: ShapeEnv, symbol: Any, by: Any, why: str) -> None:
        if getattr(by, "is_number", False) and (line := line_here()) is not None:
            found.append(line)
        replace(self, symbol, by, why)

    kind._set_replacement = noted
    try:
        yield found
    finally:
        kind._set_replacement = replace


@contextmanager
def without_lines() -> Iterator[None]:
    """While it is entered, the tracer does not note which line made a value: a sixth of its time."""
    option = "do_not_emit_stack_traces"
    before = getattr(config, option, None)
    if before is None:  # torch notes them in this version, come what may
        yield
        return
    setattr(config, option, True)
    try:
        yield
    finally:
        setattr(config, option, before)


_ENTRIES = ("forward", "__call__")  # of this package: where a module's own code begins


def _innermost(calls: Iterable[tuple[str, int]]) -> SourceLine | None:
    outside = [SourceLine(file, at) for file, at in calls if is_outside(file)]
    own = [line for line in outside if is_own(line.file)]
    return own[-1] if own else outside[-1] if outside else None


def _is_here(file: str) -> bool:
    return file.startswith(_HERE)


def is_outside(file: str) -> bool:
    """Whether a file is neither torch's nor the tracer's."""
    return not file.startswith(("<", _TORCH, _HERE))
