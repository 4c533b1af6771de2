"""A user's own loss as an objective: a function, called by its name, told from others by its code."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from types import CodeType
from typing import Any

from torch import Tensor

from ..errors import FitError, StitchError
from .objectives import Loss, Values, Wanted

PREFIX = "own:"
_PLAIN = (bool, int, float, str, bytes, type(None))
OwnLoss = Callable[[Values, Values, Tensor], Tensor]  # stitched values, genuine values, labels -> a number


def name_of(loss: OwnLoss) -> str:
    """How records call it: ``own:NAME:HASH``, the hash over its code, its defaults, and the numbers and texts it closes over.

    Of other things it closes over (lists, tensors, modules) only the type counts: they may change while it runs.

    Raises:
        StitchError: if it is no plain function.
    """
    if not inspect.isfunction(loss):
        raise StitchError(
            f"The objective {loss!r} is no objective: expected a name such as 'task', or a function "
            "(stitched, genuine, labels) -> loss."
        )
    digest = hashlib.sha256(repr(_code(loss.__code__)).encode())
    values = [*(loss.__defaults__ or ()), *(loss.__kwdefaults__ or {}).values()]
    values += [cell.cell_contents for cell in loss.__closure__ or ()]
    digest.update(repr([v if isinstance(v, _PLAIN) else type(v).__name__ for v in values]).encode())
    return f"{PREFIX}{loss.__name__.strip('<>')}:{digest.hexdigest()[:8]}"


def checked(name: str, loss: OwnLoss) -> Loss:
    """The function as the loop calls it; what it returns is checked.

    Raises (when called):
        FitError: if it returns anything but one number that depends on the stitched values.
    """

    def call(values: Values, wanted: Wanted) -> Tensor:
        result: Any = loss(values, wanted.values, wanted.labels)
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


def _code(code: CodeType) -> tuple[Any, ...]:
    """What a function does, without where it is written: equal in every run."""
    constants = tuple(_constant(c) for c in code.co_consts)
    return code.co_code, constants, code.co_names, code.co_varnames


def _constant(value: Any) -> Any:
    if isinstance(value, CodeType):
        return _code(value)
    return sorted(map(repr, value)) if isinstance(value, frozenset) else value  # a set has no order of its own
