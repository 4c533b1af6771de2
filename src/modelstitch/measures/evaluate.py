"""Measures side by side, each beside its null level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import MeasureError
from ..moments.null import derangement
from .checks import Activations, pair
from .measure import Measure, Null, Result
from .pairings import values_under
from .registry import MEASURES, find

Ids: TypeAlias = Sequence[Any] | Tensor | NDArray[Any]  # one an example


def null_level(measure: str | Measure, x: Activations, y: Activations, *, n: int = 20, seed: int = 0) -> Null:
    """Measure under ``n`` shuffled pairings of the rows.

    What is left when no example is paired with itself on the other side: the value that width and the number
    of examples alone bring about. Costs ``n`` times the measure; where it compares n x n matrices these are made once
    and shuffled. The caller's random state is not touched.

    Args:
        measure: a name, an alias or a Measure.
        x: activations of one side, a tensor or an array (n, p).
        y: of the other side for the same n examples, (n, q).
        n: how many pairings.
        seed: of the pairings.

    Returns:
        The mean, the quantiles and all values.

    Raises:
        MeasureError, NonFiniteError: as the measure; n < 1.

    Examples:
        >>> level = ms.measures.null_level("cka", x, y)
        >>> level.high < ms.measures.linear_cka(x, y)
        True
    """
    measure = find(measure)
    if n < 1:
        raise MeasureError(f"A null level needs at least one shuffle, found n={n}.")
    generator = torch.Generator().manual_seed(seed)
    orders = [derangement(len(y), generator) for _ in range(n)]
    of = values_under([x], [y], measure, (["X"], ["Y"]))
    return level([float(of(order)[0, 0]) for order in orders])


def level(values: Sequence[float]) -> Null:
    """The mean and the quantiles of values under shuffled pairing."""
    found = torch.tensor(values, dtype=torch.float64)
    return Null(float(found.mean()), float(found.quantile(0.05)), float(found.quantile(0.95)), tuple(values))


def same_examples(one: Ids, other: Ids, *, names: tuple[str, str] = ("X", "Y")) -> None:
    """Refuse two sides that hold different examples, or the same in another order.

    Raises:
        MeasureError: naming the first row that differs.
    """
    a, b = ([part.item() if hasattr(part, "item") else part for part in ids] for ids in (one, other))
    if len(a) != len(b):
        raise MeasureError(
            f"{names[0]} and {names[1]} hold different examples: expected the same ids, found {len(a)} and {len(b)} "
            f"of them."
        )
    row = next((i for i, (own, beside) in enumerate(zip(a, b)) if own != beside), None)
    if row is None:
        return
    alien = next((own for own in a if own not in set(b)), None)
    if alien is not None:
        raise MeasureError(
            f"{names[0]} and {names[1]} hold different examples: expected the same ids, found {alien!r} in {names[0]} "
            "alone; keep those that both have."
        )
    raise MeasureError(
        f"{names[0]} and {names[1]} hold examples in different orders: expected the same id in each row, found "
        f"{a[row]!r} and {b[row]!r} in row {row}; sort both by id."
    )


def evaluate(
    x: Activations,
    y: Activations,
    measures: Sequence[str | Measure] = tuple(MEASURES),
    *,
    shuffles: int = 20,
    seed: int = 0,
    names: tuple[str, str] = ("X", "Y"),
    ids: tuple[Ids, Ids] | None = None,
) -> list[Result]:
    """Measure x (n, p), a bottom's activations, and y (n, q), a top's, on the same n examples.

    Args:
        x: a tensor or an array.
        y: likewise; row i of both is the same example.
        measures: names, aliases or Measures; all by default.
        shuffles: pairings for each null level; 0 leaves it out.
        seed: of the shuffles.
        names: what to call the two sides in messages.
        ids: the examples' ids of either side, numbers or words; sides of different examples or orders are refused.

    Returns:
        One result a measure: its value beside its null level.

    Raises:
        MeasureError, NonFiniteError: at the first measure that has no right value.

    Examples:
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> (found,) = ms.measures.evaluate(x, 3 * x, ["cka"], ids=(range(50), range(50)))
        >>> found.value > 0.999, found.beyond_null
        (True, True)
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
