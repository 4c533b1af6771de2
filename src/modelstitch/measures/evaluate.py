"""Measures side by side, each beside its null level."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import MeasureError
from ..support.permutations import derangement
from .checks import Activations, pair
from .kernels import KERNELS
from .measure import Measure, Null, Result
from .registry import MEASURES, find

# Their own definition needs n x n matrices.
_QUADRATIC = frozenset(KERNELS) - {"cka_linear_biased", "cka_linear_debiased"}


def null_level(measure: str | Measure, x: Activations, y: Activations, *, n: int = 20, seed: int = 0) -> Null:
    """The measure under ``n`` shuffled pairings of the rows of x (N, p) and y (N, q).

    What is left when no example is paired with itself on the other side: the value that width and the number
    of examples alone bring about. Costs ``n`` times the measure; where it compares n x n matrices these are made once
    and shuffled. The caller's random state is not touched.

    Raises:
        MeasureError, NonFiniteError: as the measure; n < 1.
    """
    measure = find(measure)
    if n < 1:
        raise MeasureError(f"A null level needs at least one shuffle, found n={n}.")
    generator = torch.Generator().manual_seed(seed)
    orders = [derangement(len(y), generator) for _ in range(n)]
    kernel = KERNELS.get(measure.name)
    if kernel is not None and measure is MEASURES[measure.name]:
        a, b = pair(x, y, measure=measure.name, needed=measure.min_examples)
        if measure.name in _QUADRATIC or max(a.shape[1], b.shape[1]) * 2 > len(a):
            a, b = kernel.prepare(a, "X"), kernel.prepare(b, "Y")
            return level([kernel.value(a, b, measure.name, order.to(a.device)) for order in orders])
    values = []
    for order in orders:
        shuffled = y[order.to(y.device)] if isinstance(y, Tensor) else y[order.numpy()]
        values.append(measure(x, shuffled))
    return level(values)


def level(values: Sequence[float]) -> Null:
    """The mean and the quantiles of values under shuffled pairing."""
    found = torch.tensor(values, dtype=torch.float64)
    return Null(float(found.mean()), float(found.quantile(0.05)), float(found.quantile(0.95)), tuple(values))


def same_examples(
    one: Sequence[int] | Tensor, other: Sequence[int] | Tensor, *, names: tuple[str, str] = ("X", "Y")
) -> None:
    """Refuse two sides that hold different examples, or the same in another order.

    Raises:
        MeasureError: naming the first row that differs.
    """
    a, b = torch.as_tensor(one), torch.as_tensor(other)
    if a.shape != b.shape:
        raise MeasureError(
            f"{names[0]} and {names[1]} hold different examples: expected the same ids, found {len(a)} and {len(b)} "
            f"of them."
        )
    differs = (a != b).nonzero()
    if len(differs):
        row = int(differs[0, 0])
        raise MeasureError(
            f"{names[0]} and {names[1]} hold examples in different orders: expected the same id in each row, found "
            f"{int(a[row])} and {int(b[row])} in row {row}; sort both by id."
        )


def evaluate(
    x: Activations,
    y: Activations,
    measures: Sequence[str | Measure] = tuple(MEASURES),
    *,
    shuffles: int = 20,
    seed: int = 0,
    names: tuple[str, str] = ("X", "Y"),
    ids: tuple[Sequence[int] | Tensor, Sequence[int] | Tensor] | None = None,
) -> list[Result]:
    """Every measure of x (n, p), a bottom's activations, and y (n, q), a top's, on the same n examples.

    Args:
        x, y: tensors or arrays; row i of both is the same example.
        measures: names, aliases or Measures; all by default.
        shuffles: pairings for each null level; 0 leaves it out.
        seed: of the shuffles.
        names: what to call the two sides in messages.
        ids: the examples' ids of either side; sides of different examples or orders are refused.

    Raises:
        MeasureError, NonFiniteError: at the first measure that has no right value.
    """
    chosen = [find(measure) for measure in measures]
    if not chosen:
        raise MeasureError(f"No measure was chosen: expected at least one of {', '.join(MEASURES)}.")
    strictest = max(chosen, key=lambda measure: measure.min_examples)
    if ids is not None:
        same_examples(*ids, names=names)
    pair(x, y, measure=strictest.name, needed=strictest.min_examples, names=names)
    results = []
    for measure in chosen:
        value = measure(x, y)
        if shuffles:
            null = null_level(measure, x, y, n=shuffles, seed=seed)
            results.append(Result(measure.name, value, null.mean, null.high, null.low, measure.kind))
        else:
            results.append(Result(measure.name, value, None, None, None, measure.kind))
    return results
