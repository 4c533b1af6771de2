"""What a user's own code does, as a hash: records of a changed loss or family are other records."""

from __future__ import annotations

import hashlib
from types import CodeType, FunctionType
from typing import Any

_PLAIN = (bool, int, float, str, bytes, type(None))


def digest(own: FunctionType | type) -> str:
    """Eight hex digits over a function's code, its defaults, and the numbers, texts and functions it uses.

    Used are those it closes over and the globals that its code names, helpers' own included. Of other things (lists,
    tensors, modules) only the type counts: they may change while it runs. A class counts with its methods and plain
    values, and those of its bases, as far as they are not this package's or torch's.
    """
    found = _class_identity(own) if isinstance(own, type) else _identity(own, set())
    return hashlib.sha256(repr(found).encode()).hexdigest()[:8]


def _class_identity(cls: type) -> list[tuple[str, Any]]:
    seen: set[int] = set()
    found = []
    for base in cls.__mro__:
        if base is object or base.__module__.partition(".")[0] in (__package__, "torch", "abc", "typing"):
            continue
        for name, value in sorted(vars(base).items()):
            inner = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if isinstance(inner, FunctionType) or not name.startswith("__"):  # not where it is written
                found.append((name, _value(inner, seen)))
    return found


def _identity(function: FunctionType, seen: set[int]) -> tuple[Any, ...]:
    """A function's code, defaults, and what it uses; a function that was met before is named only."""
    seen.add(id(function))
    values = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:  # a name that is bound later
            values.append("unbound")
    values += [function.__globals__[name] for name in _names(function.__code__) if name in function.__globals__]
    return (_code(function.__code__), *(_value(v, seen) for v in values))


def _value(value: Any, seen: set[int]) -> Any:
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, FunctionType) and id(value) not in seen and not (value.__module__ or "").startswith("torch."):
        return _identity(value, seen)
    return type(value).__name__


def _names(code: CodeType) -> list[str]:
    """The global names that a function and those written inside it use."""
    inside = [name for c in code.co_consts if isinstance(c, CodeType) for name in _names(c)]
    return sorted({*code.co_names, *inside})


def _code(code: CodeType) -> tuple[Any, ...]:
    """What a function does, without where it is written: equal in every run."""
    constants = tuple(_constant(c) for c in code.co_consts)
    return code.co_code, constants, code.co_names, code.co_varnames


def _constant(value: Any) -> Any:
    if isinstance(value, CodeType):
        return _code(value)
    return sorted(map(repr, value)) if isinstance(value, frozenset) else value  # a set has no order of its own
