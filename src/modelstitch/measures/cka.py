"""Centred kernel alignment: linear (biased, debiased, over minibatches) and with an RBF kernel.

Kornblith, Norouzi, Lee and Hinton, "Similarity of Neural Network Representations Revisited", ICML 2019.
Nguyen, Raghu and Kornblith, "Do Wide and Deep Networks Learn the Same Things?", ICLR 2021.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import MeasureError
from ..moments.moments import Known, Moments
from .checks import Activations, bounded, cosine, distances, pair, scaled, slack

BIASED, DEBIASED, MINIBATCH, RBF = "cka_linear_biased", "cka_linear_debiased", "cka_minibatch", "cka_rbf"
# Below this share of the biased HSIC, the debiased one is rounding.
_NOTHING_LEFT = 1e-9


def linear_cka(x: Activations, y: Activations) -> float:
    """Compute the biased linear CKA: ||Y'X||^2 / (||X'X|| ||Y'Y||) (Kornblith et al., section 3).

    It nears 1 for any two wide layers as n falls below their widths: see ``linear_cka_debiased``.

    Args:
        x: activations of one side, a tensor or an array (n, p).
        y: of the other side for the same n examples, (n, q).

    Returns:
        The similarity, 0 to 1.

    Raises:
        MeasureError, NonFiniteError: unpaired rows, a side that never varies, NaN or infinity; n < 3.

    Examples:
        >>> round(ms.measures.linear_cka(x, y), 3)
        0.538
    """
    x, y = pair(x, y, measure=BIASED, needed=3)
    value = overlap(x, y) / math.sqrt(overlap(x, x) * overlap(y, y))
    return bounded(value, 0, 1, BIASED)


def linear_cka_from_moments(moments: Moments) -> float:
    """``linear_cka`` from sums over examples."""
    m = scaled(moments, measure=BIASED, needed=3)
    value = m.xy.square().sum() / (torch.linalg.norm(m.xx) * torch.linalg.norm(m.yy))
    return bounded(value, 0, 1, BIASED, slack=slack(moments))


def linear_cka_debiased(x: Activations, y: Activations) -> float:
    """Compute linear CKA from unbiased estimates of HSIC (Song et al. 2012; Nguyen et al. 2021, eq. 3).

    Near 0, and as often below it, for unrelated sides, whatever the widths.

    Args:
        x: activations of one side, a tensor or an array (n, p).
        y: of the other side for the same n examples, (n, q).

    Returns:
        The similarity, at most 1.

    Raises:
        MeasureError, NonFiniteError: unpaired rows, a side that never varies, NaN or infinity; n < 4, or examples
            that are all alike to the unbiased estimate (all the same distance apart).

    Examples:
        >>> round(ms.measures.linear_cka_debiased(x, y), 3)
        0.524
    """
    x, y = pair(x, y, measure=DEBIASED, needed=4)
    (xy, xx, yy), floor = _hsics(x, y)
    for name, value, biased in (("X", xx, floor[0]), ("Y", yy, floor[1])):
        require_spread(value, biased, name)
    return bounded(xy / math.sqrt(xx * yy), -1, 1, DEBIASED, slack=1e-6)


def debiased_from_moments(moments: Moments, base_x: Tensor, base_y: Tensor) -> float:
    """``linear_cka_debiased`` from sums over examples.

    The diagonals of the Gram matrices, which the unbiased estimate leaves out, are the examples' squared lengths.

    Args:
        moments: of rows (n, p + 1) and (n, q + 1); the last column is a row's squared distance from the base.
        base_x, base_y: (p,), (q,); any, best near the mean.

    Raises:
        MeasureError, NonFiniteError: as ``linear_cka_debiased``.
    """
    n, p, q = moments.n, len(base_x), len(base_y)
    parts = moments.mean_x[:p], moments.mean_y[:q], moments.xx[:p, :p], moments.yy[:q, :q], moments.xy[:p, :q]
    plain = Moments(n, *parts).sharing(*moments.known)
    m = scaled(plain, measure=DEBIASED, needed=4)
    x = _lengths("X", plain.mean_x, base_x, moments.xx, m.xx, n, moments.known[0])
    y = _lengths("Y", plain.mean_y, base_y, moments.yy, m.yy, n, moments.known[1])
    met = float(x.form @ moments.xy @ y.form) / (x.trace * y.trace)
    return bounded(_from_lengths(m.xy, met, n) / math.sqrt(x.own * y.own), -1, 1, DEBIASED, slack=1e-6)


class _SideLengths(NamedTuple):
    """What a side's squared lengths are made of: the form that takes them from its columns, their sum, its own HSIC."""

    form: Tensor
    trace: float
    own: float


def _lengths(
    name: str, mean: Tensor, base: Tensor, square: Tensor, unit: Tensor, n: float, known: Known
) -> _SideLengths:
    found: _SideLengths | None = known.get(DEBIASED)
    if found is None:
        # |x - m|^2 of a row is its last column, less 2 (x - b) (m - b), and a number that all rows share
        form = torch.cat([2 * (base - mean), mean.new_ones(1)])
        trace = float(square.diagonal()[:-1].sum())
        own = _from_lengths(unit, float(form @ square @ form) / trace**2, n)
        require_spread(own, float(unit.square().sum()), name)
        found = known[DEBIASED] = _SideLengths(form, trace, own)
    return found


def _from_lengths(products: Tensor, met: float, n: float) -> float:
    """Unbiased HSIC from products of features, both sides of norm 1, and the centred products of squared lengths."""
    return float(unbiased(products.square().sum(), met + 1 / n, 1, n))


def rbf_cka(x: Activations, y: Activations, *, fraction: float = 0.8) -> float:
    """Compute CKA with kernels exp(-d^2 / (2 s^2)), s = ``fraction`` of the median distance.

    The median is over the n (n - 1) / 2 pairs of different examples, for each side its own (Kornblith et al.
    2019, section 3). Memory grows with n^2.

    Args:
        x: activations of one side, a tensor or an array (n, p).
        y: of the other side for the same n examples, (n, q).
        fraction: of the median distance between examples, above 0.

    Returns:
        The similarity, 0 to 1.

    Raises:
        MeasureError, NonFiniteError: unpaired rows, a side that never varies, NaN or infinity; n < 3; a median
            distance of 0; a bandwidth so wide that the kernel is constant.

    Examples:
        >>> round(ms.measures.rbf_cka(x, y), 3)
        0.542
    """
    if not (math.isfinite(fraction) and fraction > 0):
        raise MeasureError(f"{RBF} needs a positive fraction of the median distance, found fraction={fraction}.")
    x, y = pair(x, y, measure=RBF, needed=3)
    kx, ky = (rbf_kernel(side, name, fraction) for side, name in ((x, "X"), (y, "Y")))
    return bounded(cosine(kx, ky), 0, 1, RBF)


def overlap(x: Tensor, y: Tensor) -> float:
    """||X'Y||^2 = tr(XX' YY'), by the cheaper of the two ways."""
    n, p, q = len(x), x.shape[1], y.shape[1]
    if p * q <= n * (p + q):
        return float((x.T @ y).square().sum())
    return float(((x @ x.T) * (y @ y.T)).sum())


def _hsics(x: Tensor, y: Tensor) -> tuple[list[float], list[float]]:
    """Unbiased HSIC of (x, y), (x, x), (y, y), and the biased ones of the last two, all times n (n - 3)."""
    x, y = x - x.mean(0), y - y.mean(0)
    fair, biased = [], []
    for a, b in ((x, y), (x, x), (y, y)):
        # With centred rows the Gram matrices' rows sum to 0, so that without their diagonals the row sums are
        # minus the diagonals: the n x n matrices of the definition are never formed.
        da, db = a.square().sum(1), b.square().sum(1)
        biased.append(overlap(a, b))
        fair.append(unbiased(biased[-1], float(da @ db), float(da.sum() * db.sum()), len(x)))
    return fair, biased[1:]


def unbiased(squares: Any, meeting: Any, traces: Any, n: float) -> Any:
    """n (n - 3) times the unbiased HSIC of centred rows (Song et al. 2012), whose Gram matrices' rows sum to 0.

    Args:
        squares: ||X'Y||^2, the biased one.
        meeting: the product of the two Gram matrices' diagonals.
        traces: the product of their sums.
        n: examples.
    """
    return squares - meeting * n / (n - 2) + traces / ((n - 1) * (n - 2))


def require_spread(value: float, biased: float, name: str, measure: str = DEBIASED) -> None:
    """Refuse a side whose unbiased HSIC with itself is nothing but rounding beside the biased one.

    Raises:
        MeasureError: naming the side.
    """
    if value <= _NOTHING_LEFT * biased:
        raise MeasureError(
            f"{measure} is not defined where the unbiased HSIC of {name} with itself is 0, as for examples that are "
            f"all the same distance apart: expected a positive number, found {value:.3g}; use more examples."
        )


def rbf_kernel(x: Tensor, name: str, fraction: float = 0.8) -> Tensor:
    """The centred kernel matrix (n, n) of x (n, p)."""
    d = distances(x, RBF)
    rows, columns = torch.triu_indices(len(x), len(x), 1)
    median = _median(d[rows, columns])
    if median <= 1e-12 * float(d.max()):
        raise MeasureError(
            f"{RBF} needs a positive median distance between examples, found 0 in {name}: more than half of "
            "the pairs are equal; use other examples."
        )
    k = torch.exp(-(d / (fraction * median)).square() / 2)
    k = k - k.mean(0) - k.mean(1, keepdim=True) + k.mean()
    if float(torch.linalg.norm(k)) <= 1e-12 * len(x):
        raise MeasureError(f"{RBF} found a constant kernel of {name} at fraction={fraction:g}: choose a smaller one.")
    return k


def _median(values: Tensor) -> float:
    # torch.median takes the lower of two middle values, torch.quantile refuses more than 16 million.
    ordered = values.sort().values
    middle = len(ordered) // 2
    return float(ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2)
