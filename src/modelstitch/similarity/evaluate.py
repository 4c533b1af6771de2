"""Measures side by side, each beside its null level."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import MeasureError
from .checks import Matrix, pair
from .measure import Measure, Null, Result
from .registry import MEASURES, find


def null_level(measure: str | Measure, x: Matrix, y: Matrix, *, n: int = 20, seed: int = 0) -> Null:
    """The measure under ``n`` shuffled pairings of the rows of x (N, p) and y (N, q).

    What is left when no example is paired with itself on the other side: the value that width and the number
    of examples alone bring about. Costs ``n`` times the measure; the caller's random state is not touched.

    Raises:
        MeasureError, NonFiniteError: as the measure; n < 1.
    """
    measure = find(measure)
    if n < 1:
        raise MeasureError(f"A null level needs at least one shuffle, found n={n}.")
    generator = torch.Generator().manual_seed(seed)
    values = []
    for _ in range(n):
        order = torch.randperm(len(y), generator=generator)
        shuffled = y[order.to(y.device)] if isinstance(y, Tensor) else y[order.numpy()]
        values.append(measure(x, shuffled))
    found = torch.tensor(values, dtype=torch.float64)
    return Null(float(found.mean()), float(found.quantile(0.05)), float(found.quantile(0.95)))


def evaluate(
    x: Matrix,
    y: Matrix,
    measures: Sequence[str | Measure] = tuple(MEASURES),
    *,
    shuffles: int = 20,
    seed: int = 0,
    names: tuple[str, str] = ("X", "Y"),
) -> list[Result]:
    """Every measure of x (n, p), a bottom's activations, and y (n, q), a top's, on the same n examples.

    Args:
        x, y: tensors or arrays; row i of both is the same example.
        measures: names, aliases or Measures; all by default.
        shuffles: pairings for each null level; 0 leaves it out.
        seed: of the shuffles.
        names: what to call the two sides in messages.

    Raises:
        MeasureError, NonFiniteError: at the first measure that has no right value.
    """
    chosen = [find(measure) for measure in measures]
    if not chosen:
        raise MeasureError(f"No measure was chosen: expected at least one of {', '.join(MEASURES)}.")
    strictest = max(chosen, key=lambda measure: measure.min_examples)
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
