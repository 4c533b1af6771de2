"""Arguments of another kind than a public function's annotations say: refused in one sentence before anything runs."""

from __future__ import annotations

import builtins
import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Set
from contextlib import AbstractContextManager, nullcontext
from functools import cache, wraps
from inspect import isroutine
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from ..errors import StitchError

F = TypeVar("F", bound=Callable[..., Any])

_WORDS = {
    NoneType: "None",
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a pathlib.Path",
}
_SEVERAL = {int: "whole numbers", float: "numbers", str: "texts"}


def kinds(*own: str, settled: bool = False) -> Callable[[F], F]:
    """Check the arguments of a public function against its annotations, on every call.

    Args:
        *own: parameters whose wrong values have sentences of their own in the function.
        settled: run the function in ordinary surroundings, see ``ambient``.

    Returns:
        A decorator. What the annotations do not decide (``Any``, protocols) passes, as does ``**question``.
    """
    surroundings: Callable[[], AbstractContextManager[Any]] = nullcontext
    if settled:
        from . import ambient  # which loads torch

        surroundings = ambient.settled

    def decorate(function: F) -> F:
        shown = list(inspect.signature(function).parameters.values())
        named = [p for p in shown if p.kind is not inspect.Parameter.VAR_KEYWORD]
        places = [p.name for p in named if p.kind is not inspect.Parameter.KEYWORD_ONLY]
        rest = next((p.name for p in named if p.kind is inspect.Parameter.VAR_POSITIONAL), None)
        defaults = {p.name: p.default for p in named if p.name not in own}

        @cache
        def hints() -> dict[str, Any]:  # when it is first called: what they name may be written further below
            return {name: hint for name, hint in _hints(function).items() if name in defaults}

        passed: set[tuple[str, type]] = set()  # that need no second look: of these types every value is right

        def check(name: str, value: Any) -> None:
            if (name, type(value)) in passed:
                return
            hint = Any if value is defaults.get(name, check) else hints().get(name, Any)
            if not fits(value, hint):
                raise StitchError(
                    f"The argument {name!r} is wrong: expected {in_words(hint)}, found {as_found(value)}."
                )
            if type(value) in _WORDS and not any(get_origin(part) is Literal for part in (hint, *get_args(hint))):
                passed.add((name, type(value)))

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for at, value in enumerate(args):
                if at < len(places) or rest is not None:
                    check(places[min(at, len(places) - 1)], value)
            for name, value in kwargs.items():
                check(name, value)
            with surroundings():
                return function(*args, **kwargs)

        return cast(F, call)

    return decorate


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of the kind that an annotation says; what it does not decide is."""
    kind, parts = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return any(fits(value, part) for part in parts)
    if kind is Annotated:
        return fits(value, parts[0])
    if kind is Literal:
        return any(type(value) is type(part) and value == part for part in parts)
    return _holds(value, kind, parts) if kind is not None else _is(value, hint)


def _is(value: Any, hint: Any) -> bool:
    """Whether it is one thing of that kind."""
    if (right := _PLAIN.get(hint)) is not None:
        return right(value)
    if isinstance(hint, _Named):
        return any(hint.__name__ == cls.__name__ for cls in type(value).__mro__)
    return not isinstance(hint, type) or getattr(hint, "_is_protocol", False) or isinstance(value, hint)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool) or type(value).__name__ in ("bool", "bool_")  # numpy's own, too


_PLAIN: dict[Any, Callable[[Any], bool]] = {
    Any: lambda value: True,
    None: lambda value: value is None,
    NoneType: lambda value: value is None,
    bool: _is_bool,
    int: lambda value: isinstance(value, Integral) and not _is_bool(value),
    float: lambda value: isinstance(value, Real) and not _is_bool(value),
    Path: lambda value: isinstance(value, os.PathLike),
}


def _holds(value: Any, kind: Any, parts: tuple[Any, ...]) -> bool:
    """Whether it is a container of that kind, a function, or an instance of that class."""
    if not isinstance(kind, type) or getattr(kind, "_is_protocol", False):
        return True
    if issubclass(kind, Mapping):
        return isinstance(value, Mapping) and all(map(_is_item, value.items(), [parts] * len(value)))
    if kind is tuple and ... not in parts:
        return isinstance(value, list | tuple) and len(value) == len(parts) and all(map(fits, value, parts))
    if issubclass(kind, Iterable):
        several = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping | Set)
        return several and (not isinstance(value, list | tuple) or all(fits(part, parts[0]) for part in value))
    return callable(value) if issubclass(kind, Callable) else isinstance(value, kind)  # type: ignore[arg-type]


def _is_item(item: tuple[Any, Any], parts: tuple[Any, ...]) -> bool:
    return all(map(fits, item, parts))


def in_words(hint: Any) -> str:
    """An annotation as a sentence has it: "a whole number or None"."""
    kind, parts = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        words = list(dict.fromkeys(in_words(part) for part in parts))
        return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
    if kind is Annotated:
        return in_words(parts[0])
    if kind is Literal:
        words = [repr(part) for part in parts]
        return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
    if isinstance(kind, type):
        return _container(kind, parts)
    name = getattr(hint, "__name__", str(hint))
    return _WORDS.get(hint) or f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


def _container(kind: type, parts: tuple[Any, ...]) -> str:
    if issubclass(kind, Mapping):
        return "a dict"
    if kind is tuple and ... not in parts:
        return f"a pair ({', '.join(map(in_words, parts))})" if len(parts) == 2 else f"{len(parts)} values"
    if issubclass(kind, Iterable):
        return f"a list of {_SEVERAL[parts[0]]}" if parts and parts[0] in _SEVERAL else "a list"
    return "a function" if issubclass(kind, Callable) else f"a {kind.__name__}"  # type: ignore[arg-type]


def as_found(value: Any) -> str:
    """A value as a sentence has it: plain ones themselves, of others their type."""
    if value is None or isinstance(value, bool | int | float | str | bytes):
        text = repr(value)
        return text if len(text) <= 80 else text[:77] + "..."
    if isinstance(value, list | tuple) and value and not fits(value[0], Iterable[Any]):
        return f"a {type(value).__name__} with {as_found(value[0])}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return "a function" if isroutine(value) else f"a {type(value).__name__}"


class _Named(type):
    """A class that is imported for type checkers alone, known by its name; of a module, that of its member."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _Named(name, (), {})


def _hints(function: Any) -> dict[str, Any]:
    """The annotations of a function, those that are kept as text read."""
    inner = inspect.unwrap(function)

    class Scope(dict[str, Any]):
        def __missing__(self, name: str) -> Any:
            return getattr(builtins, name, None) or _Named(name, (), {})

    return get_type_hints(inner, localns=Scope(inner.__globals__))
