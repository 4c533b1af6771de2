"""Two states of a fit on the same validation samples: which errs less, and whether the samples tell."""

from __future__ import annotations

import math
from statistics import NormalDist

import torch
from torch import Tensor

from ..measure import Outcome

CHANCE = 0.05  # that looks end a fit too soon, all of them together
FINE = 100.0  # the root of ten thousand samples
NORMAL = NormalDist()
LUCK = 1.64  # standard errors that the best of several looks leads by without being better
SURE = 1.96  # standard errors that hold with 97.5 % to one side
CLEAR = 2.58  # standard errors that it leads by where it is
ALIKE = 300  # where none of so many samples tells two states apart, one in a hundred may at most (the rule of three)
Looked = dict[str, Tensor]  # errors, losses and weights of the samples that were looked at, float64 (n,)


def columns(outcome: Outcome) -> Looked:
    """What is kept of a look to compare another state with."""
    return {name: getattr(outcome, name) for name in ("errors", "losses", "weights")}


def joined(some: Looked, more: Looked) -> Looked:
    """The same of all samples."""
    return {name: torch.cat([column, more[name]]) for name, column in some.items()}


def means(seen: Looked) -> tuple[float, float]:
    """(error, loss), in the order in which states are preferred."""
    weights = seen["weights"]
    error, loss = (float((seen[name] * weights).sum() / weights.sum()) for name in ("errors", "losses"))
    return error, loss


def undecided(best: Looked, last: Looked, *, still: bool) -> bool:
    """Whether more samples are worth reading to tell whether an earlier state is better than the last one.

    Args:
        still: the rate has fallen so far that states stand still: a lead that is no more than luck gives the best of
            several looks is none.
    """
    if not bool((best["errors"] != last["errors"]).any()):
        return len(best["errors"]) < ALIKE
    lead, error = difference(last, best)
    return (LUCK * error if still else -CLEAR * error) < lead <= CLEAR * error


def leads(best: Looked, last: Looked, *, still: bool) -> bool:
    """Whether an earlier state is kept: it does as well, or where states stand still, better by more than luck."""
    if not still:
        return means(best) <= means(last)
    lead, error = difference(last, best)
    return lead > LUCK * error


def hope(best: Looked, before: Looked, last: Looked, share: float, looks: int, by: str = "errors") -> float:
    """What the steps that are left may gain over the best state, in units of what ten thousand samples tell of a mean.

    A fit has gained something since ``before``, and is left ``share`` of the rate that it had since: it may gain as
    large a share again. The gain, and how far the last state is behind the best one, are both taken at the end of their
    intervals that speaks for going on, which hold at all of so many ``looks`` together: one lucky look ends no fit.
    """
    far = NORMAL.inv_cdf(1 - CHANCE / looks)
    gain, gain_error = difference(before, last, by)
    behind, behind_error = difference(last, best, by)
    most = share * (gain + far * gain_error) - max(0.0, behind - far * behind_error)
    return max(0.0, most) / _unit(last, by)


def _unit(seen: Looked, by: str) -> float:
    """What ten thousand samples tell of a mean: its standard error."""
    weights = seen["weights"] / seen["weights"].mean()
    errors = seen[by] * weights
    return max(float(errors.std()) / FINE if len(errors) > 1 else 0.0, 1e-300)  # one sample tells of no spread


def least(own: Looked, before: Looked, last: Looked, share: float, looks: int) -> tuple[float, float]:
    """(the least by which a fit will end worse than the top alone, the most that the steps left may gain).

    The gain to come is bounded as in ``hope``. Both bounds hold at all of so many looks together with 97.5 % each: the
    chance of an error is spent evenly over them (a union bound; of Lan and DeMets 1983 the plainest), so that stopping
    at the first look that decides is no advantage.
    """
    far = NORMAL.inv_cdf(1 - 0.025 / looks)
    gain, gain_error = difference(before, last)
    worse, error = difference(last, own)
    most = max(0.0, share * (gain + far * gain_error))
    return worse - far * error - most, most


def difference(one: Looked, other: Looked, by: str = "errors") -> tuple[float, float]:
    """How much more one state errs than another on the same samples, and the standard error of that.

    One sample of either sign is added, so that two or three samples tell nothing (Bonett and Price 2012).
    """
    weights = one["weights"] / one["weights"].mean()
    apart = (one[by] - other[by]) * weights
    n, most = len(apart) + 2, float(apart.abs().max())
    mean = float(apart.sum()) / n
    variance = (float(apart.square().sum()) + 2 * most**2) / n - mean**2
    return mean, math.sqrt(max(variance, 0.0) / n)
