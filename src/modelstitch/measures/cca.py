"""Canonical correlations: mean squared, mean, of the leading directions (SVCCA), weighted (PWCCA).

Raghu, Gilmer, Yosinski and Sohl-Dickstein, "SVCCA", NeurIPS 2017.
Morcos, Raghu and Bengio, "Insights on representational similarity in neural networks", NeurIPS 2018 (PWCCA).
Kornblith et al., ICML 2019, sections 5.2 and 5.3 (all of them side by side).

The canonical correlations are the singular values of the cosines between the two sides' directions;
directions below ``subspace.RANK_TOLERANCE`` of the largest do not count. There are min(r, s) of them for
ranks r and s.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import MeasureError
from ..moments.moments import Moments
from .checks import Activations, bounded
from .subspace import Subspaces

MEAN_SQUARED, MEAN, SVCCA, PWCCA = "cca_mean_squared", "cca_mean", "svcca", "pwcca"
SVCCA_SHARE = 0.99
# Correlations closer than this share their canonical directions in no definite way: rounding decides.
_TIE, _TIE_FROM_MOMENTS = 1e-10, 1e-8
# Where all of them are this close, no weights could change their mean; sums in single precision are off by more.
_ALL_EQUAL, _ALL_EQUAL_FLOAT32 = 1e-7, 1e-5


def cca_mean_squared(x: Activations, y: Activations) -> float:
    """Average the squared canonical correlations of both sides.

    Args:
        x: activations of one side, a tensor or an array (n, p).
        y: of the other side for the same n examples, (n, q).

    Returns:
        The similarity, 0 to 1.

    Raises:
        MeasureError, NonFiniteError: unpaired rows, a side that never varies, NaN or infinity; n < 3, or a side that
            varies in n - 1 directions, where the value is 1 whatever the other.

    Examples:
        >>> round(ms.measures.cca_mean_squared(x, y), 3)
        0.603
    """
    return _mean_squared(Subspaces.of(x, y, MEAN_SQUARED))


def cca_mean_squared_from_moments(moments: Moments) -> float:
    """``cca_mean_squared`` from sums over examples."""
    return _mean_squared(Subspaces.from_moments(moments, MEAN_SQUARED))


def cca_mean(x: Activations, y: Activations) -> float:
    """Average the canonical correlations of both sides.

    Args:
        x: activations of one side, a tensor or an array (n, p).
        y: of the other side for the same n examples, (n, q).

    Returns:
        The similarity, 0 to 1.

    Raises:
        MeasureError, NonFiniteError: as ``cca_mean_squared``.

    Examples:
        >>> round(ms.measures.cca_mean(x, y), 3)
        0.755
    """
    return _mean(Subspaces.of(x, y, MEAN), MEAN)


def cca_mean_from_moments(moments: Moments) -> float:
    """``cca_mean`` from sums over examples."""
    return _mean(Subspaces.from_moments(moments, MEAN), MEAN)


def svcca(x: Activations, y: Activations, *, share: float = SVCCA_SHARE) -> float:
    """Average the canonical correlations of the components that hold ``share`` of each side's variance.

    Equal principal values at the edge are kept together.

    Args:
        x: activations of one side, a tensor or an array (n, p).
        y: of the other side for the same n examples, (n, q).
        share: of the variance, above 0 and up to 1.

    Returns:
        The similarity, 0 to 1.

    Raises:
        MeasureError, NonFiniteError: as ``cca_mean_squared``, after the reduction.

    Examples:
        >>> round(ms.measures.svcca(x, y), 3)
        0.755
    """
    return _mean(Subspaces.of(x, y, SVCCA).leading(_checked(share)), SVCCA)


def svcca_from_moments(moments: Moments, *, share: float = SVCCA_SHARE) -> float:
    """``svcca`` from sums over examples."""
    return _mean(Subspaces.from_moments(moments, SVCCA).leading(_checked(share)), SVCCA)


def pwcca(x: Activations, y: Activations) -> float:
    """Average the canonical correlations, weighted by how much of *x* their directions carry.

    The weight of the i-th is the sum over x's columns of |<h_i, column>|, h_i the unit canonical variate of
    x; the weights are divided by their sum. Not symmetric.

    Args:
        x: activations of one side, a tensor or an array (n, p).
        y: of the other side for the same n examples, (n, q).

    Returns:
        The similarity, 0 to 1.

    Raises:
        MeasureError, NonFiniteError: as ``cca_mean_squared``; and where some, not all, correlations are
            equal (as when the two share features exactly), since the variates and so the weights are not
            determined then.

    Examples:
        >>> round(ms.measures.pwcca(x, y), 3)
        0.759
    """
    return _weighted(Subspaces.of(x, y, PWCCA), _TIE)


def pwcca_from_moments(moments: Moments) -> float:
    """``pwcca`` from sums over examples."""
    equal = _ALL_EQUAL if moments.xx.dtype == torch.float64 else _ALL_EQUAL_FLOAT32
    return _weighted(Subspaces.from_moments(moments, PWCCA), _TIE_FROM_MOMENTS, equal)


def _correlations(s: Subspaces, measure: str) -> Tensor:
    s.refuse_saturated(measure, s.x, s.y)
    values: Tensor = torch.linalg.svdvals(s.cross)
    bounded(values.max(), 0, 1, measure, slack=s.slack)
    return values.clamp(max=1.0)


def _mean_squared(s: Subspaces) -> float:
    return bounded(_correlations(s, MEAN_SQUARED).square().mean(), 0, 1, MEAN_SQUARED)


def _mean(s: Subspaces, measure: str) -> float:
    return bounded(_correlations(s, measure).mean(), 0, 1, measure)


def _weighted(s: Subspaces, tie: float, equal: float = _ALL_EQUAL) -> float:
    values = _correlations(s, PWCCA)
    gaps = -values.diff()
    if float(values[0] - values[-1]) <= equal:
        return bounded(values.mean(), 0, 1, PWCCA)
    if bool((gaps <= tie).any()):
        raise MeasureError(
            f"{PWCCA} is not determined where some canonical correlations are equal: found {int((gaps <= tie).sum())} "
            "equal neighbours, as when both sides share features or examples are few; use svcca or more examples."
        )
    left, _, _ = torch.linalg.svd(s.cross, full_matrices=False)
    weights = (left.T @ (s.x.scale[:, None] * s.x.directions.T)).abs().sum(1)
    return bounded((weights * values).sum() / weights.sum(), 0, 1, PWCCA)


def _checked(share: float) -> float:
    if not 0 < share <= 1:
        raise MeasureError(f"{SVCCA} needs a share of the variance above 0 and up to 1, found share={share}.")
    return share
