"""What a module's code and hooks may change outside of its copies, put back afterwards.

Globals, closures, collections.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...support.user_code import is_library
from .hooks import hooks_of, hooks_of_all

_DEEP, _MANY = 6, 20_000  # how far, and how many things, are followed
_PLAIN = (bool, int, float, complex, str, bytes, type(None), ModuleType, CodeType, Tensor)
_HOLDERS = (dict, list, set, deque)  # of libraries' objects nothing else is followed
_TABLES = frozenset(vars(nn.Module()))


@contextmanager
def owners_kept(module: nn.Module) -> Iterator[Reach]:
    """What the code and the hooks of a module reach holds afterwards what it held before.

    The same things, in the same places.

    torch's default type comes back, too. Followed are closures, globals that code names, objects, and what lists, dicts
    and sets hold; of libraries' code nothing.
    """
    roots: list[Any] = [*hooks_of(module).values(), *hooks_of_all()]
    for part in module.modules():
        if not is_library(type(part)):
            roots.append(type(part))
            roots += [value for value in vars(part).values() if isinstance(value, FunctionType | MethodType | partial)]
    reach, dtype = Reach(roots), torch.get_default_dtype()
    try:
        yield reach
    finally:
        reach.put_back()
        torch.set_default_dtype(dtype)


class Reach:
    """All that some functions and objects can change, with what it holds now.

    ``tensors`` are those that they could write into.
    """

    def __init__(self, roots: Iterable[Any]) -> None:
        self._seen: dict[int, Any] = {}  # with the thing, so that no other one takes its id
        self._spots: list[_Spot] = []
        self.tensors: list[Tensor] = []
        level = list(roots)
        for _ in range(_DEEP):
            level = [held for thing in level if self._is_new(thing) for held in self._keep(thing)]

    def put_back(self) -> None:
        """Let everything hold what it held at first."""
        for spot in self._spots:
            if spot.changed():
                spot.write(spot.was)

    def blank(self) -> None:
        """Take out what was put in since: whoever looks for it finds nothing."""
        for spot in self._spots:
            if spot.changed():
                spot.write(spot.blank())

    def _is_new(self, thing: Any) -> bool:
        if isinstance(thing, Tensor):
            self.tensors.append(thing)
        if isinstance(thing, _PLAIN) or id(thing) in self._seen or len(self._seen) > _MANY:
            return False
        self._seen[id(thing)] = thing
        return True

    def _keep(self, thing: Any) -> list[Any]:
        """Remember what a thing holds; what is to be followed from there."""
        if isinstance(thing, FunctionType):
            return [] if is_library(thing) else self._function(thing)
        if isinstance(thing, MethodType):
            return [thing.__func__, thing.__self__]
        if isinstance(thing, partial):
            return [thing.func, *thing.args, *thing.keywords.values()]
        if isinstance(thing, functools._lru_cache_wrapper):
            self._spots.append(_Cache(thing))
            return [thing.__wrapped__]
        if isinstance(thing, dict):
            self._spots.append(_TableSpot(thing))
            return [*thing.values(), *self._object(thing)]
        if isinstance(thing, list | deque | set):
            self._spots.append(_Many(thing))
            return [*thing, *self._object(thing)]
        if isinstance(thing, tuple):
            return list(thing)
        if isinstance(thing, np.ndarray):
            if thing.flags.writeable and thing.dtype != object:
                self._spots.append(_ArraySpot(thing))
            return []
        if isinstance(thing, type):
            return [] if is_library(thing) else self._class(thing)
        return self._object(thing)

    def _function(self, function: FunctionType) -> list[Any]:
        held = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        for cell in function.__closure__ or ():
            try:
                held.append(cell.cell_contents)
            except ValueError:  # bound later
                continue
            self._spots.append(_Named(cell, "cell_contents", cell.cell_contents))
        space = function.__globals__
        names = [name for name in _names(function.__code__) if name in space]
        self._spots.append(_TableSpot(space, names))
        return held + [space[name] for name in names]

    def _class(self, cls: type) -> list[Any]:
        held: list[Any] = [base for base in cls.__bases__ if not is_library(base)]
        for name, value in list(vars(cls).items()):
            inner = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            held.append(inner)
            if not name.startswith("__") and not callable(inner) and inner is value:
                self._spots.append(_Named(cls, name, value))
        return held

    def _object(self, thing: Any) -> list[Any]:
        table = getattr(thing, "__dict__", None)
        found: list[Any] = []
        if isinstance(table, dict):
            own = [v for k, v in table.items() if not (isinstance(thing, nn.Module) and k in _TABLES)]
            self._spots.append(_TableSpot(table))
            found += [v for v in own if isinstance(v, _HOLDERS)] if is_library(type(thing)) else own
        if not is_library(type(thing)):
            found.append(type(thing))
        return found


class _Spot(ABC):
    """A place that can hold something else."""

    was: Any

    @abstractmethod
    def changed(self) -> bool:
        """Whether it holds something else now."""

    @abstractmethod
    def write(self, value: Any) -> None:
        """Put a value there."""

    def blank(self) -> Any:
        """What it held before, without what a call put there."""
        return self.was


class _TableSpot(_Spot):
    """A dict, or some names of it."""

    def __init__(self, table: dict[Any, Any], names: list[str] | None = None) -> None:
        self.table, self.names = table, names
        self.was = self._now()

    def _now(self) -> dict[Any, Any]:
        return dict(self.table) if self.names is None else {n: self.table[n] for n in self.names if n in self.table}

    def changed(self) -> bool:
        now = self._now()
        return len(now) != len(self.was) or any(now.get(key, self) is not value for key, value in self.was.items())

    def write(self, value: Any) -> None:
        if self.names is None:
            self.table.clear()
        self.table.update(value)

    def blank(self) -> Any:
        now = self._now()
        if self.names is None:
            return {k: v for k, v in self.was.items() if now.get(k, self) is v or isinstance(v, int | float)}
        return {k: v if now.get(k, self) is v or isinstance(v, int | float) else None for k, v in self.was.items()}


class _Many(_Spot):
    """A list, a deque or a set."""

    def __init__(self, held: Any) -> None:
        self.held, self.was = held, list(held)

    def changed(self) -> bool:
        return len(self.held) != len(self.was) or any(a is not b for a, b in zip(self.held, self.was))

    def write(self, value: Any) -> None:
        self.held.clear()
        self.held.update(value) if isinstance(self.held, set) else self.held.extend(value)

    def blank(self) -> Any:
        return []


class _Named(_Spot):
    """An attribute of a class, or the content of a closure's cell."""

    def __init__(self, thing: Any, name: str, was: Any) -> None:
        self.thing, self.name, self.was = thing, name, was

    def changed(self) -> bool:
        return getattr(self.thing, self.name, self) is not self.was

    def write(self, value: Any) -> None:
        setattr(self.thing, self.name, value)

    def blank(self) -> Any:
        return self.was if isinstance(self.was, int | float) else None


class _ArraySpot(_Spot):
    def __init__(self, array: Any) -> None:
        self.array, self.was = array, array.copy()

    def changed(self) -> bool:
        return bool((self.array != self.was).any())

    def write(self, value: Any) -> None:
        np.copyto(self.array, value)


class _Cache(_Spot):
    """A function that keeps its results: those of a tracer's tensors must not stay."""

    def __init__(self, function: Any) -> None:
        self.function, self.was = function, function.cache_info().misses

    def changed(self) -> bool:
        return bool(self.function.cache_info().misses != self.was)

    def write(self, value: Any) -> None:
        self.function.cache_clear()


def _names(code: CodeType) -> set[str]:
    inside = [name for constant in code.co_consts if isinstance(constant, CodeType) for name in _names(constant)]
    return {*code.co_names, *inside}
