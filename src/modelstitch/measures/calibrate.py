"""Similarities of a grid of layers against chance: p-values, calibrated scores, and the best pair of the grid.

Null-calibrated similarity, with a null that knows of the search for the best pair (arXiv 2602.14486, 2026); add-one
p-values (Phipson and Smyth 2010); the sequential stop of Besag and Clifford, Biometrika 1991.

Rows of y are permuted, for all pairs of layers alike, so that the largest of a grid is held against the largest of a
grid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from ..errors import MeasureError
from ..stats.bootstrap import Floats, controlled
from .checks import Activations
from .cka import DEBIASED
from .measure import Measure
from .pairings import Names, rows_of, values_under
from .registry import find

_LEVEL = 0.05  # of chance
_TIE = 1e-6  # values closer than this are equal: of products in float32 rounding would decide which is more


@dataclass(frozen=True)
class Calibrated:
    """Values of a grid of L x M layers, each beside chance.

    Attributes:
        measure: its name.
        values: shape (L, M).
        p: how often a permuted pairing is at least as much alike, by the add-one rule, shape (L, M).
        q: p with the false discovery rate over all pairs controlled (Benjamini and Hochberg 1995), shape (L, M).
        thresholds: what a pair must exceed to be told from chance at the level, shape (L, M).
        scores: 0 at the threshold and below, 1 for activations with themselves, shape (L, M).
        best: (row, column) of the pair that is most alike.
        best_p: of that pair, among the best pairs of permuted grids.
        best_threshold: what the best pair of a grid must exceed.
        best_score: of the best pair, from that threshold.
        permutations: how many were drawn.
        low: the lower ends of the 95 % intervals of the values, shape (L, M); None where they were not asked for.
        high: the upper ends.
        layers: what the L and the M layers are called.

    Examples:
        >>> found = ms.measures.calibrate([x], [y, torch.randn(60, 2)], permutations=19)
        >>> found.values.shape, found.best
        ((1, 2), (0, 0))
    """

    measure: str
    values: Floats
    p: Floats
    q: Floats
    thresholds: Floats
    scores: Floats
    best: tuple[int, int]
    best_p: float
    best_threshold: float
    best_score: float
    permutations: int
    low: Floats | None = None
    high: Floats | None = None
    layers: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


def calibrate(
    x: Activations | Sequence[Activations] | Mapping[str, Activations],
    y: Activations | Sequence[Activations] | Mapping[str, Activations],
    measure: str | Measure = DEBIASED,
    *,
    permutations: int = 200,
    level: float = 0.05,
    stop: int | None = None,
    resamples: int = 0,
    seed: int = 0,
) -> Calibrated:
    """Measure every layer of x with every layer of y, each value against permuted pairings.

    Args:
        x: L layers of one network, (n, p) each; a list, a dict from names, or one.
        y: M layers of another one for the same examples, (n, q) each; likewise.
        measure: a name, an alias or a Measure. Linear CKA multiplies features, in float32 where rows are permuted.
        permutations: at most so many, drawn uniformly, the same for all pairs.
        level: of the thresholds.
        stop: no more permutations once each pair, and the best, has been reached by so many: no p-value can be small
            then. Those that were reached have p = stop / (permutations until then).
        resamples: half-samples for intervals; 0 leaves them out. See the note.
        seed: of the permutations and half-samples.

    Returns:
        The values, their p-values, thresholds, scores and intervals, and what the best pair of the grid is worth.

    Raises:
        MeasureError, NonFiniteError: as the measure; layers of different numbers of examples; a setting out of range.

    Examples:
        >>> generator = torch.Generator().manual_seed(0)
        >>> x = [torch.randn(100, 8, generator=generator) for _ in range(2)]
        >>> found = ms.measures.calibrate(x, [x[1] @ torch.randn(8, 5, generator=generator)])
        >>> found.best, round(found.best_p, 3), bool(found.p[0, 0] > 0.05)
        ((1, 0), 0.005, True)

    Note:
        An interval is the value plus and minus 1.96 standard deviations of the measure on random halves of the
        examples, drawn without replacement (the delete-half jackknife, Shao and Wu 1989). A bootstrap would take
        examples twice, which measures of neighbours or kernels read as likeness.
    """
    measure = find(measure)
    if permutations < 1 or not 0 < level < 1 or (stop is not None and stop < 1) or resamples < 0:
        raise MeasureError(
            "Calibration needs at least 1 permutation, a level between 0 and 1, stop of at least 1 and resamples of at "
            f"least 0, found permutations={permutations}, level={level}, stop={stop}, resamples={resamples}."
        )
    below, above = _layers(x, "X"), _layers(y, "Y")
    sides, names = (list(below.values()), list(above.values())), (list(below), list(above))
    of = values_under(*sides, measure, names, rough=True)
    n = len(sides[0][0])
    sign = 1.0 if measure.kind == "similarity" else -1.0
    generator = torch.Generator().manual_seed(seed)
    values, drawn = of(None), []
    reached = np.zeros((values.size + 1,), dtype=np.int64)  # by how many permutations; the best pair last
    until = np.zeros_like(reached)
    likeness = sign * np.append(values, _best(values, sign))
    for number in range(1, permutations + 1):
        found = of(torch.randperm(n, generator=generator))
        drawn.append(sign * np.append(found, _best(found, sign)))
        going = reached < stop if stop is not None else np.ones(len(reached), dtype=bool)
        reached += going & (drawn[-1] >= likeness - _TIE)
        until[going] = number
        if stop is not None and (reached >= stop).all():
            break
    ended = reached >= stop if stop is not None else np.zeros(len(reached), dtype=bool)
    p = np.where(ended, reached / until, (1 + reached) / (1 + until))
    threshold = _threshold(likeness, np.stack(drawn), level)
    scores = _score(likeness, threshold, sign * measure.self_value)
    low = high = None
    if resamples:
        reach = 1.96 * _half_sampled(sides, names, measure, values, n, resamples, seed)
        low, high = (np.clip(values + side * reach, measure.low, measure.high) for side in (-1, 1))
    shape = values.shape
    row, column = np.unravel_index(int(np.argmax(likeness[:-1])), shape)
    return Calibrated(
        measure.name,
        values,
        p[:-1].reshape(shape),
        controlled(p[:-1]).reshape(shape),
        sign * threshold[:-1].reshape(shape),
        scores[:-1].reshape(shape),
        (int(row), int(column)),
        float(p[-1]),
        float(sign * threshold[-1]),
        float(scores[-1]),
        len(drawn),
        low,
        high,
        (tuple(below), tuple(above)),
    )


class Chance(NamedTuple):
    """What values of a grid are worth beside shuffled pairings that all pairs had in common, shape (pairs,) each."""

    p: Floats
    q: Floats  # with the false discovery rate over all pairs controlled (Benjamini and Hochberg 1995)
    score: Floats
    p_grid: Floats  # among the best pairs of the shuffled grids (Westfall and Young 1993, the largest statistic)
    score_grid: Floats


def against_chance(values: Floats, null: Floats, measure: Measure) -> Chance:
    """Hold values, shape (pairs,), against those of shuffled pairings, shape (shuffles, pairs)."""
    sign = 1.0 if measure.kind == "similarity" else -1.0
    likeness, drawn, most = sign * values, sign * null, sign * measure.self_value
    best = drawn.max(1, keepdims=True)
    of_grid = _threshold(likeness.max(keepdims=True), best, _LEVEL)
    p = (1 + (drawn >= likeness - _TIE).sum(0)) / (1 + len(drawn))
    return Chance(
        p,
        controlled(p),
        _score(likeness, _threshold(likeness, drawn, _LEVEL), most),
        (1 + (best >= likeness - _TIE).sum(0)) / (1 + len(drawn)),
        _score(likeness, of_grid, most),
    )


def _threshold(likeness: Floats, drawn: Floats, level: float) -> Floats:
    """The quantile of what was drawn and what was seen together, so that it holds for few draws, too."""
    ordered = np.sort(np.concatenate([likeness[None], drawn]), 0)
    found: Floats = ordered[math.ceil((1 - level) * len(ordered)) - 1]
    return found


def _score(likeness: Floats, threshold: Floats, most: float) -> Floats:
    return np.clip((likeness - threshold) / np.maximum(most - threshold, 1e-12), 0.0, 1.0)


def _best(values: Floats, sign: float) -> float:
    return float(sign * (sign * values).max())


def _layers(side: Any, name: str) -> dict[str, Activations]:
    """The layers of one side by name; those of a list are counted."""
    named = isinstance(side, Mapping)
    layers = [side] if hasattr(side, "ndim") else list(side.values() if named else side)
    if not layers:
        raise MeasureError(f"{name} has no layers: expected at least one matrix (examples, features).")
    return dict(zip(map(str, side) if named else (f"layer {at} of {name}" for at in range(len(layers))), layers))


def _half_sampled(
    sides: tuple[Sequence[Activations], Sequence[Activations]],
    names: Names,
    measure: Measure,
    values: Floats,
    n: int,
    resamples: int,
    seed: int,
) -> Floats:
    """The standard deviation of each value, from random halves of the examples."""
    half = n // 2
    if half < measure.min_examples:
        raise MeasureError(
            f"Intervals of {measure.name} take halves of the examples: expected at least {2 * measure.min_examples}, "
            f"found {n}; use more, or resamples=0."
        )
    generator, found = torch.Generator().manual_seed(seed + 1), []
    for _ in range(resamples):
        rows = torch.randperm(n, generator=generator)[:half].sort().values
        x, y = ([rows_of(layer, rows) for layer in side] for side in sides)
        found.append(values_under(x, y, measure, names)(None))
    spread: Floats = np.std(found, axis=0, ddof=1 if resamples > 1 else 0) * math.sqrt(half / (n - half))
    return spread
