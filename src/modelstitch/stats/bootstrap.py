"""The bootstrap over test samples (Efron and Tibshirani 1993): one, for a single fit and for all that are pooled.

No torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bounds = tuple[float, float]
LEVEL = 0.95
RESAMPLES = 2000


def means(
    columns: Sequence[Floats],
    weights: Floats,
    *,
    ends: Bounds | None = None,
    seed: int = 0,
    source: int = 0,
    resamples: int = RESAMPLES,
) -> Floats:
    """The weighted mean of each column under the same draws of samples, shape (resamples, columns).

    Args:
        columns: shape (samples,) each, measured on the same samples.
        weights: of the samples, shape (samples,).
        ends: the least and the greatest that a sample can add, where values are right or wrong: one sample of each is
            added, and drawn as often as any other. Else an interval of rare errors is too narrow, and of none it is a
            point (Bonett and Price 2012; docs/results/intervals.md).
        source: which set of samples it is, where there are several: each is drawn by itself.
    """
    table = np.stack([*(column * weights for column in columns), weights], 1)
    # Equal rows are drawn together: the same distribution, and few patterns where errors are 0 or 100.
    patterns, counts = np.unique(table, axis=0, return_counts=True)
    generator, found = np.random.default_rng([seed, source]), np.empty((resamples, len(columns)))
    more = np.zeros((resamples, 2))  # how often either end is drawn
    if ends is not None:
        size = counts.sum() + 2
        more += np.random.default_rng([seed, source, 2]).binomial(size, 1 / size, more.shape)
    step = max(1, 4_000_000 // len(patterns))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        sums = generator.multinomial(counts.sum(), counts / counts.sum(), size=size) @ patterns
        ended = more[start : start + size]
        sums[:, :-1] += (ended @ np.array(ends or (0.0, 0.0)))[:, None]
        sums[:, -1] += ended.sum(1)
        found[start : start + size] = sums[:, :-1] / sums[:, -1:]
    return found


def draws(n: int, *, seed: int = 0, resamples: int = RESAMPLES) -> Iterator[Floats]:
    """How often each of n samples is drawn, (some, n), some draws at a time; the same for equal n and seed.

    For what is no mean over samples; means are drawn by ``means``, which is faster.
    """
    generator = np.random.default_rng([seed, 3])
    step = max(1, 2_000_000 // n)
    for start in range(0, resamples, step):
        some = min(step, resamples - start)
        at = generator.integers(0, n, (some, n)) + n * np.arange(some)[:, None]
        yield np.bincount(at.ravel(), minlength=some * n).reshape(some, n).astype(np.float64)


def right_or_wrong(unit: str) -> bool:
    """Whether errors in a unit are 0 or 100: of classes, and of what is found among the first of a gallery."""
    return unit == "points" or unit.startswith("points of recall@")


def ends_of(unit: str, *, alone: bool = False) -> Bounds | None:
    """The least and the greatest that a sample can add to a difference of errors; None where errors are amounts.

    Args:
        unit: of the differences.
        alone: errors by themselves, nothing taken off.
    """
    return (0.0 if alone else -100.0, 100.0) if right_or_wrong(unit) else None


def interval(replicates: Floats) -> tuple[float, float]:
    """The percentile interval of replicates, shape (resamples,), at ``LEVEL``; those that are NaN are left out."""
    low, high = np.nanquantile(replicates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def controlled(p: Floats | Sequence[float]) -> Floats:
    """The q-values of p-values, in the same shape: of all that are at most some q, a share of q is there by chance."""
    # Four lines, since scipy's statistics take a second to import.
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, axis=None)[::-1]  # from the largest on
    ranks, found = np.arange(values.size, 0, -1), np.empty(values.size)
    found[order] = np.minimum.accumulate(np.minimum(values.ravel()[order] * values.size / ranks, 1.0))
    return found.reshape(values.shape)
