"""A user's own loss as an objective: a function, called by its name, told from others by its code."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor

from ...errors import FitError, StitchError
from ...network import OUTPUT
from ...support.user_code import digest
from .objectives import Loss, Values, Wanted

PREFIX = "own:"
OwnLoss = Callable[[Values, Values, Tensor], Tensor]  # stitched values, genuine values, labels -> a number


def name_of(loss: OwnLoss) -> str:
    """How records call it.

    ``own:NAME:HASH``, the hash over its code, its defaults, and the numbers, texts and functions it uses.

    Used are those it closes over and the globals that its code names, helpers' own included. Of other things (lists,
    tensors, modules) only the type counts: they may change while it runs.

    Raises:
        StitchError: if it is no plain function, or does not take three arguments.
    """
    if not inspect.isfunction(loss):
        raise StitchError(
            f"The objective {loss!r} is no objective: expected a name such as 'task', a function "
            "(stitched, genuine, labels) -> loss, or a tuple of these."
        )
    try:
        inspect.signature(loss).bind({}, {}, None)
    except TypeError:
        raise StitchError(
            f"The objective {loss.__name__!r} must take (stitched, genuine, labels), found {loss.__name__}"
            f"{inspect.signature(loss)}: take all three, also those that it does not use."
        ) from None
    return f"{PREFIX}{loss.__name__.strip('<>')}:{digest(loss)}"


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
