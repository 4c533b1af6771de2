"""What a user's own code does, as a hash: records of a changed loss, family or view are other records."""

from __future__ import annotations

import random
import sys
import sysconfig
import traceback
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch

from ..errors import first_line
from . import hashing

_PACKAGE = __package__.partition(".")[0]
_OWN = str(Path(__file__).parents[1])
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_PLAIN = (bool, int, float, str, bytes, type(None))


def raised(error: Exception) -> str:
    """What a user's own code raised, and the last line of it that ran, for a sentence."""
    found = f"{type(error).__name__}: {first_line(error)}"
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    own = [frame for frame in own if not _installed(frame.filename)]
    return f"{found}, {Path(own[-1].filename).name}:{own[-1].lineno}" if own else found


def _installed(file: str) -> bool:
    """Whether a file is this package's, a library's or the interpreter's."""
    return file.startswith((_OWN, *_LIBRARIES))


def digest(own: FunctionType | type) -> str:
    """Eight hex digits over a function's code, its defaults, and the numbers, texts and functions it uses.

    Used are those it closes over and the globals that its code names, helpers' own included. Of other things (lists,
    tensors, modules) only the type counts: they may change while it runs. A class counts with its methods and plain
    values, and those of its bases, as far as they are not this package's or torch's.
    """
    walk = _Content(deep=False)
    return _digits(walk.of_class(own) if isinstance(own, type) else walk.of_function(own))


def in_words(view: Any) -> str:
    """How a network sees a sample, in words that are the same in every run.

    A name, plain values, and a hash of the rest.

    The hash is over the code and all that it holds or uses, tensors and lists by what is in them now. Of libraries'
    code only the names count, and this package's own views are described by their values alone.
    """
    if view is None:
        return ""
    name = getattr(view, "__qualname__", type(view).__qualname__)
    held = {f.name: getattr(view, f.name) for f in fields(view)} if is_dataclass(view) else {}
    plain = {key: value for key, value in held.items() if isinstance(value, int | float | str | tuple)}
    words = f"{name} {plain}" if plain else name
    rest: Any = view
    if _package(view) == _PACKAGE:
        rest = {key: value for key, value in held.items() if key not in plain and value is not None}
    return f"{words} {_digits(_Content()(rest))}" if rest else words


def contents(value: Any) -> str:
    """Eight hex digits over all that a value holds now, generators of random numbers included."""
    return _digits(_Content()(value))


class _Content:
    """What a value is, as nested tuples whose text is the same in every run.

    Args:
        deep: all that it holds now; else of anything but functions and plain values the type alone.
    """

    def __init__(self, deep: bool = True) -> None:
        self._deep = deep
        self._met: dict[int, tuple[int, Any]] = {}  # with the value, so that no other one takes its id

    def __call__(self, value: Any) -> Any:
        if isinstance(value, _PLAIN):
            return value
        if not self._deep and not (isinstance(value, FunctionType) and _package(value) != "torch"):
            return type(value).__name__
        if isinstance(value, Enum | torch.dtype | torch.device | ModuleType):
            return getattr(value, "__name__", str(value))
        if id(value) in self._met:
            return f"again {self._met[id(value)][0]}"
        self._met[id(value)] = (len(self._met), value)
        for kinds, tell in self._KINDS:
            if isinstance(value, kinds):
                return tell(self, value)
        return type(value).__qualname__, self(type(value)), self._state(value)

    def of_function(self, function: FunctionType) -> tuple[Any, ...]:
        """Its code, and what it uses."""
        found = used(function)
        return _code(function.__code__), self(found) if self._deep else tuple(map(self, found))

    def of_class(self, cls: type) -> tuple[Any, ...]:
        """What its own text and that of its bases define, as far as they are no library's."""
        bases = [base for base in cls.__mro__ if not is_library(base)]
        return tuple((name, self(value)) for base in bases for name, value in _written(base))

    _KINDS: tuple[tuple[Any, Callable[[_Content, Any], Any]], ...] = (
        (torch.Tensor | np.ndarray, lambda self, value: _array(value)),
        (random.Random, lambda self, value: value.getstate()),
        (np.random.Generator, lambda self, value: self(value.bit_generator.state)),
        (torch.Generator, lambda self, value: _array(value.get_state())),
        (list | tuple, lambda self, value: tuple(map(self, value))),
        (set | frozenset, lambda self, value: tuple(sorted(repr(self._apart(part)) for part in value))),
        (Mapping, lambda self, value: tuple((str(key), self(part)) for key, part in value.items())),
        (MethodType, lambda self, value: (self(value.__func__), self(value.__self__))),
        (partial, lambda self, value: (self(value.func), self(value.args), self(value.keywords))),
        (FunctionType, lambda self, value: value.__qualname__ if self._known(value) else self.of_function(value)),
        (type, lambda self, value: value.__qualname__ if is_library(value) else self.of_class(value)),
    )

    def _known(self, function: FunctionType) -> bool:
        return self._deep and is_library(function)

    def _apart(self, part: Any) -> Any:
        """One of a set, which has no order of its own: what was met in another one does not count."""
        alone = _Content()
        alone._met = dict(self._met)
        return alone(part)

    def _state(self, value: Any) -> Any:
        if _package(value) in sys.stdlib_module_names:  # a logger or a lock holds half of the process
            return "" if " at 0x" in repr(value) else repr(value)
        slots = [name for base in type(value).__mro__ for name in getattr(base, "__slots__", ())]
        held = {name: getattr(value, name) for name in slots if hasattr(value, name)} | getattr(value, "__dict__", {})
        text = "" if held else repr(value)
        return self(held) if held else "" if " at 0x" in text else text


def _array(value: Any) -> tuple[Any, ...]:
    shape, kind = tuple(value.shape), str(value.dtype)
    return shape, kind, hashing.of(value if isinstance(value, torch.Tensor) else np.ascontiguousarray(value).tobytes())


def _package(thing: Any) -> str:
    source = thing if isinstance(thing, FunctionType | type) else type(thing)
    return (source.__module__ or "").partition(".")[0]


def is_library(thing: Any) -> bool:
    """Whether it is not the user's: of this package, of Python, or installed."""
    package = _package(thing)
    file = getattr(sys.modules.get(package), "__file__", None) or ""
    return package == _PACKAGE or package in sys.stdlib_module_names or "-packages" in file


def _written(cls: type) -> list[tuple[str, Any]]:
    """What a class's own text defines: functions, also behind properties, and values."""
    found = []
    for name, value in sorted(vars(cls).items()):
        inner = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if isinstance(inner, FunctionType) or not name.startswith("__"):  # not where it is written
            found.append((name, inner))
    return found


def _digits(found: Any) -> str:
    return hashing.of(repr(found), digits=8)


def used(function: FunctionType) -> list[Any]:
    """A function's defaults, what it closes over, and the globals that its code names."""
    values = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:  # a name that is bound later
            values.append("unbound")
    return values + [
        function.__globals__[name] for name in global_names(function.__code__) if name in function.__globals__
    ]


def global_names(code: CodeType) -> list[str]:
    """The global names that a function and those written inside it use."""
    inside = [name for c in code.co_consts if isinstance(c, CodeType) for name in global_names(c)]
    return sorted({*code.co_names, *inside})


def _code(code: CodeType) -> tuple[Any, ...]:
    """What a function does, without where it is written: equal in every run."""
    constants = tuple(_constant(c) for c in code.co_consts)
    return code.co_code, constants, code.co_names, code.co_varnames


def _constant(value: Any) -> Any:
    if isinstance(value, CodeType):
        return _code(value)
    return sorted(map(repr, value)) if isinstance(value, frozenset) else value  # a set has no order of its own
