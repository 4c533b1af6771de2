"""Two states of a fit on the same validation samples: which errs less, and whether the samples tell."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..measure import Outcome

CLEAR = 2.58  # standard errors: of two states that are alike, one pair in a hundred is told apart at a look
ALIKE = 300  # where none of so many samples tells two states apart, one in a hundred may at most (the rule of three)
Columns = dict[str, Tensor]  # errors, losses and weights of the samples that were looked at, float64 (n,)


def columns(outcome: Outcome) -> Columns:
    """What is kept of a look to compare another state with."""
    return {name: getattr(outcome, name) for name in ("errors", "losses", "weights")}


def joined(some: Columns, more: Columns) -> Columns:
    """The same of all samples."""
    return {name: torch.cat([column, more[name]]) for name, column in some.items()}


def means(seen: Columns) -> tuple[float, float]:
    """(error, loss), in the order in which states are preferred."""
    weights = seen["weights"]
    error, loss = (float((seen[name] * weights).sum() / weights.sum()) for name in ("errors", "losses"))
    return error, loss


def undecided(one: Columns, other: Columns) -> bool:
    """Whether more samples may tell two states apart: their errors differ, and by no more than chance may do.

    What one sample less errs on counts with the other sign, too, so that two or three samples decide nothing.
    """
    weights = one["weights"] / one["weights"].mean()
    apart = (one["errors"] - other["errors"]) * weights
    if not bool(apart.any()):
        return len(apart) < ALIKE
    n, most = len(apart) + 2, float(apart.abs().max())  # and one sample of either sign: Bonett and Price (2012)
    mean = float(apart.sum()) / n
    variance = (float(apart.square().sum()) + 2 * most**2) / n - mean**2
    return abs(mean) <= CLEAR * math.sqrt(variance / n)
