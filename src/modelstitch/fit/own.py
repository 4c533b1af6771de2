"""A user's own loss as an objective: a function, called by its name, told from others by its code."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

from torch import Tensor

from ..errors import FitError, StitchError
from ..network import OUTPUT
from .objectives import Loss, Values, Wanted

PREFIX = "own:"
_PLAIN = (bool, int, float, str, bytes, type(None))
OwnLoss = Callable[[Values, Values, Tensor], Tensor]  # stitched values, genuine values, labels -> a number


def name_of(loss: OwnLoss) -> str:
    """How records call it: ``own:NAME:HASH``, the hash over its code, its defaults, and the numbers, texts and functions it uses.

    Used are those it closes over and the globals that its code names, helpers' own included. Of other things (lists,
    tensors, modules) only the type counts: they may change while it runs.

    Raises:
        StitchError: if it is no plain function.
    """
    if not inspect.isfunction(loss):
        raise StitchError(
            f"The objective {loss!r} is no objective: expected a name such as 'task', a function "
            "(stitched, genuine, labels) -> loss, or a tuple of these."
        )
    digest = hashlib.sha256(repr(_identity(loss, set())).encode())
    return f"{PREFIX}{loss.__name__.strip('<>')}:{digest.hexdigest()[:8]}"


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


def checked(name: str, loss: OwnLoss) -> Loss:
    """The function as the loop calls it; what it returns is checked.

    Raises (when called):
        FitError: if it returns anything but one number that depends on the stitched values.
    """

    def call(values: Values, wanted: Wanted) -> Tensor:
        result: Any = loss(_public(values), _public(wanted.values), wanted.labels)
        if not isinstance(result, Tensor) or result.numel() != 1 or not result.requires_grad:
            found = f"shape {tuple(result.shape)}" if isinstance(result, Tensor) else type(result).__name__
            if isinstance(result, Tensor) and result.numel() == 1:
                found = "a number that does not depend on the stitched values"
            raise FitError(
                f"The loss {name!r} must return one number computed from the stitched values, found {found}: reduce it "
                "with .mean(), and do not detach it."
            )
        return result.reshape(())

    return call


def _public(values: Values) -> Values:
    """The values under the names that a user knows; "output" is always the network's own."""
    return {name: value for name, value in values.items() if name != OUTPUT} | {"output": values[OUTPUT]}


def _code(code: CodeType) -> tuple[Any, ...]:
    """What a function does, without where it is written: equal in every run."""
    constants = tuple(_constant(c) for c in code.co_consts)
    return code.co_code, constants, code.co_names, code.co_varnames


def _constant(value: Any) -> Any:
    if isinstance(value, CodeType):
        return _code(value)
    return sorted(map(repr, value)) if isinstance(value, frozenset) else value  # a set has no order of its own
