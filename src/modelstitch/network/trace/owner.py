"""What a module's owner has beside the module, none of which may be changed, and which hooks are part of it.

A hook that changes what is computed is part of the network, one that only looks does not run. Which is which shows when
the module runs once: there each hook is asked in a way that leaves nothing of the owner's changed. Globals, closures
and collections that the code or the hooks reach are put back afterwards.
"""

from __future__ import annotations

import functools
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.utils.prune import BasePruningMethod
from torch.utils import _pytree as pytree

from ...errors import TraceError
from ...support.user_code import global_names, is_library

Key = tuple[str, str, int]  # the part's name, the table, and the number in it
BEFORE, AFTER = "_forward_pre_hooks", "_forward_hooks"
_KWARGS = {BEFORE: "_forward_pre_hooks_with_kwargs", AFTER: "_forward_hooks_with_kwargs"}
_OTHERS = (  # of gradients, and of weights that are saved or loaded: neither happens to a copy
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
_GLOBAL = {BEFORE: "_global_forward_pre_hooks", AFTER: "_global_forward_hooks"}
_GLOBAL_OTHERS = ("_global_backward_hooks", "_global_backward_pre_hooks")
_DEEP, _MANY = 6, 20_000  # how far, and how many things, are followed
_PLAIN = (bool, int, float, complex, str, bytes, type(None), ModuleType, CodeType, Tensor)
_HOLDERS = (dict, list, set, deque)  # of libraries' objects nothing else is followed
_TABLES = frozenset(vars(nn.Module()))


def hooks_of(module: nn.Module) -> dict[Key, Any]:
    """The hooks that run in a forward of the module, its parts' included."""
    return {
        (name, table, number): hook
        for name, part in module.named_modules()
        for table in (BEFORE, AFTER)
        for number, hook in getattr(part, table, {}).items()
    }


def hooks_of_all() -> list[Any]:
    """The hooks that run in a forward of any module."""
    return [hook for table in _GLOBAL.values() for hook in getattr(torch_module, table).values()]


def share_hooks(module: nn.Module, shared: dict[int, Any]) -> None:
    """Let a deep copy of the module have the very hooks, in tables of its own.

    And no others than those of a forward.
    """
    for part in module.modules():
        for table in (BEFORE, AFTER):
            held = vars(part).get(table)
            if held:
                shared[id(held)] = OrderedDict(held)
        for table in _OTHERS:
            held = vars(part).get(table)
            if held:
                shared[id(held)] = OrderedDict()


def rebind_hooks(twin: nn.Module, shared: dict[int, Any], kept: set[Key] | None) -> None:
    """Let the hooks of a copy that are methods of a part work on the copy's part; take out those that are not kept."""
    _put_hooks(twin, {key: _rebound(hook, shared) for key, hook in hooks_of(twin).items()}, kept)


def _put_hooks(module: nn.Module, hooks: dict[Key, Any], kept: set[Key] | None = None) -> None:
    """Let a module have these hooks under their keys, and none of them where it is not among those kept."""
    for (name, table, number), hook in hooks.items():
        held = getattr(module.get_submodule(name), table)
        if kept is not None and (name, table, number) not in kept:
            del held[number]
        else:
            held[number] = hook


def _rebound(hook: Any, shared: dict[int, Any]) -> Any:
    def copied(value: Any) -> Any:
        return shared.get(id(value), value) if isinstance(value, nn.Module) else value

    if isinstance(hook, MethodType):
        return MethodType(hook.__func__, copied(hook.__self__))
    if isinstance(hook, partial):
        words = {key: copied(value) for key, value in hook.keywords.items()}
        return partial(_rebound(hook.func, shared), *map(copied, hook.args), **words)
    return hook


class HookTrial:
    """The hooks of one copy, which each tell whether they act, and do no harm where they fail."""

    def __init__(self, twin: nn.Module) -> None:
        self._twin, self._hooks = twin, hooks_of(twin)
        self.acting = {key for key, hook in self._hooks.items() if _of_torch(hook)}
        asked = {key: hook for key, hook in self._hooks.items() if key not in self.acting}
        _put_hooks(twin, {key: self._asking(key, hook) for key, hook in asked.items()})

    def settle(self) -> None:
        """Take out the hooks that only look; the others are as they were."""
        _put_hooks(self._twin, self._hooks, self.acting)

    def _asking(self, key: Key, hook: Any) -> Callable[..., Any]:
        name, table, number = key
        words = number in getattr(self._twin.get_submodule(name), _KWARGS[table])

        def ask(part: nn.Module, *given: Any) -> Any:
            said, acts = _asked(hook, part, given, table, words)
            self.acting |= {key} if acts else set()
            return said

        return ask


@contextmanager
def global_hooks_out(name: str, ask: bool = False) -> Iterator[None]:
    """While it is entered, no hook of all modules runs; where ``ask``, they run once to see whether they act.

    Raises:
        TraceError: if one does.
    """
    tables = {table: getattr(torch_module, table) for table in (*_GLOBAL.values(), *_GLOBAL_OTHERS)}
    before = {table: dict(held) for table, held in tables.items()}
    acting: list[str] = []

    def asking(table: str, hook: Any) -> Callable[..., Any]:
        def look(part: nn.Module, *given: Any) -> None:
            if _asked(hook, part, given, table, False)[1]:
                acting.append(getattr(hook, "__qualname__", type(hook).__qualname__))

        return look

    for held in tables.values():
        held.clear()
    if ask:
        for table, of_all in _GLOBAL.items():
            tables[of_all].update({number: asking(table, hook) for number, hook in before[of_all].items()})
    try:
        yield
    finally:
        for table, held in tables.items():
            held.clear()
            held.update(before[table])
    if acting:
        raise TraceError(
            f"The network {name!r} runs under a hook of all modules that changes what is computed ({acting[0]}): "
            "expected a network that is the same everywhere; remove that hook, or register it on the module itself."
        )


def _asked(hook: Any, part: nn.Module, given: tuple[Any, ...], table: str, words: bool) -> tuple[Any, bool]:
    """What a hook says, and whether it changes what is computed; one that stops the forward only looks."""
    before, held = _versions(given), _weights_held(part)
    try:
        said = hook(part, *given)
    except Exception:  # the owner's code, met outside of its run: it says nothing of whether it acts
        return None, False
    changed = _versions(given) != before or (table == BEFORE and _weights_held(part) != held)
    return said, changed or not _says_nothing(said, given, table, words)


def _of_torch(hook: Any) -> bool:
    """Whether it is one of torch's own, such as the old weight_norm: those compute weights."""
    return type(hook).__module__.startswith("torch.") or isinstance(hook, BasePruningMethod)


def _says_nothing(said: Any, given: tuple[Any, ...], table: str, words: bool) -> bool:
    """Whether what a hook returned leaves everything as it is."""
    if said is None:
        return True
    if table == AFTER:
        return _equal(said, given[-1])
    if words:
        return _equal(said, given)
    return _equal(said if isinstance(said, tuple) else (said,), given[0])


def _equal(a: Any, b: Any) -> bool:
    if a is b:
        return True
    (ours, spec), (theirs, other) = pytree.tree_flatten(a), pytree.tree_flatten(b)
    return spec == other and all(
        x is y
        or (
            isinstance(x, Tensor)
            and isinstance(y, Tensor)
            and x.shape == y.shape
            and x.dtype == y.dtype
            and torch.equal(x, y)
        )
        for x, y in zip(ours, theirs, strict=True)
    )


def _versions(values: Any) -> list[int]:
    """How often each tensor was written."""
    return [t._version for t in pytree.tree_leaves(values) if isinstance(t, Tensor) and not t.is_inference()]


def _weights_held(part: nn.Module) -> dict[str, int]:
    """The tensors that a part holds, by name: a hook before its forward may put others there."""
    tables = (vars(part), part._parameters, part._buffers)
    return {key: id(value) for table in tables for key, value in table.items() if isinstance(value, Tensor)}


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
            spot.put_back()

    def blank(self) -> None:
        """Take out what was put in since: whoever looks for it finds nothing."""
        for spot in self._spots:
            spot.blank()

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
        if isinstance(thing, functools._lru_cache_wrapper):  # results of a tracer's tensors must not stay
            self._spots.append(_Spot(lambda: {0: thing.cache_info().misses}, lambda _: thing.cache_clear()))
            return [thing.__wrapped__]
        if isinstance(thing, _HOLDERS):
            self._spots.append(_whole(thing))
            return [*(thing.values() if isinstance(thing, dict) else thing), *self._object(thing)]
        if isinstance(thing, tuple):
            return list(thing)
        if isinstance(thing, np.ndarray):
            if thing.flags.writeable and thing.dtype != object:
                read, write = thing.tobytes, partial(_write_array, thing)
                self._spots.append(_Spot(lambda: {0: read()}, write))
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
            self._spots.append(_named(cell, "cell_contents"))
        space = function.__globals__
        names = [name for name in global_names(function.__code__) if name in space]
        self._spots.append(_Spot(lambda: {n: space[n] for n in names if n in space}, space.update, _or_none))
        return held + [space[name] for name in names]

    def _class(self, cls: type) -> list[Any]:
        held: list[Any] = [base for base in cls.__bases__ if not is_library(base)]
        for name, value in list(vars(cls).items()):
            inner = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            held.append(inner)
            if not name.startswith("__") and not callable(inner) and inner is value:
                self._spots.append(_named(cls, name))
        return held

    def _object(self, thing: Any) -> list[Any]:
        table = getattr(thing, "__dict__", None)
        found: list[Any] = []
        if isinstance(table, dict):
            own = [v for k, v in table.items() if not (isinstance(thing, nn.Module) and k in _TABLES)]
            self._spots.append(_whole(table))
            found += [v for v in own if isinstance(v, _HOLDERS)] if is_library(type(thing)) else own
        if not is_library(type(thing)):
            found.append(type(thing))
        return found


class _Spot:
    """What some places hold, how it is read and written, and what they held at first.

    Args:
        blank: makes of what was held at first, and of what of it still is, what stands there once a call's traces are
            taken out.
    """

    def __init__(
        self,
        read: Callable[[], dict[Any, Any]],
        write: Callable[[dict[Any, Any]], Any],
        blank: Callable[[dict[Any, Any], dict[Any, Any]], dict[Any, Any]] = lambda was, same: same,
    ) -> None:
        self._read, self._write, self._blank = read, write, blank
        self._was = read()

    def _same(self) -> dict[Any, Any]:
        """What is held as it was held at first: the same things, or equal numbers."""
        now = self._read()
        return {k: v for k, v in self._was.items() if k in now and (now[k] is v or (_is_plain(v) and now[k] == v))}

    def _changed(self) -> bool:
        return not len(self._same()) == len(self._was) == len(self._read())

    def put_back(self) -> None:
        if self._changed():
            self._write(self._was)

    def blank(self) -> None:
        """Hold what was held at first, without what a call put in its place; numbers come back."""
        if self._changed():
            same = self._same()
            kept = {key: value for key, value in self._was.items() if key in same or _is_plain(value)}
            self._write(self._blank(self._was, kept))


def _or_none(was: dict[Any, Any], same: dict[Any, Any]) -> dict[Any, Any]:
    """Of places that cannot be empty."""
    return dict.fromkeys(was) | same


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float | bytes)


def _whole(thing: Any) -> _Spot:
    """All that a dict, a list, a deque or a set holds."""

    def write(held: dict[Any, Any]) -> None:
        thing.clear()
        if isinstance(thing, list | deque):
            thing.extend(held.values())
        else:
            thing.update(held if isinstance(thing, dict) else held.values())

    if isinstance(thing, dict):
        return _Spot(lambda: dict(thing), write)
    return _Spot(lambda: dict(enumerate(thing)), write, lambda was, same: {})


def _named(thing: Any, name: str) -> _Spot:
    """An attribute of a class, or the content of a closure's cell."""

    def read() -> dict[Any, Any]:
        return {name: getattr(thing, name)} if hasattr(thing, name) else {}

    return _Spot(read, lambda held: setattr(thing, name, held[name]), _or_none)


def _write_array(array: Any, held: dict[Any, Any]) -> None:
    np.copyto(array, np.frombuffer(held[0], array.dtype).reshape(array.shape))
