"""What a measure says of itself, and one measured value with its null level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..moments.moments import Moments
from .checks import Activations, bounded

MeasureKind: TypeAlias = Literal["similarity", "distance"]
Invariance: TypeAlias = Literal["orthogonal", "isotropic scaling", "invertible linear", "translation", "permutation"]

AXES: tuple[Invariance, ...] = ("permutation", "isotropic scaling", "translation")
RIGID: tuple[Invariance, ...] = ("orthogonal", *AXES)
LINEAR: tuple[Invariance, ...] = (*RIGID, "invertible linear")


@dataclass(frozen=True)
class Measure:
    """Describe a measure: a number for two sets of activations of the same examples.

    Attributes:
        name: as in records and reports.
        function: takes x (n, p) of a bottom and y (n, q) of a top (tensors or arrays), returns a float, and raises
            MeasureError or NonFiniteError where it has no right value; leaves its arguments as they are.
        kind: whether more means more alike ("similarity") or less ("distance").
        formula: in words.
        source: the paper.
        low: the lower end of the range.
        high: its upper end.
        self_value: the value of activations with themselves.
        invariant_x: what may be done to x without a change: "orthogonal", "isotropic scaling", "invertible linear",
            "translation", "permutation" (of features).
        invariant_y: the same of y.
        direction: where exchanging the sides changes the value, which way it looks; empty for a symmetric
            measure.
        from_moments: the same number from the sums over examples alone, where that is possible.
        min_examples: the fewest examples it accepts at all.

    Examples:
        >>> ms.measures.MEASURES["procrustes_angle"].kind
        'distance'
        >>> round(ms.measures.MEASURES["cka_linear_biased"](x, y), 3)
        0.538
    """

    name: str
    function: Callable[[Activations, Activations], float]
    kind: MeasureKind
    formula: str
    source: str
    low: float = 0.0
    high: float = 1.0
    self_value: float = 1.0
    invariant_x: tuple[Invariance, ...] = RIGID
    invariant_y: tuple[Invariance, ...] = RIGID
    direction: str = ""
    from_moments: Callable[[Moments], float] | None = None
    min_examples: int = 3

    def __call__(self, x: Activations, y: Activations) -> float:
        """Give the value, checked to be finite and in range.

        Args:
            x: activations of one side, a tensor or an array (n, p).
            y: of the other side for the same n examples, (n, q).

        Returns:
            The value.

        Raises:
            MeasureError, NonFiniteError: see the function's own page.
        """
        return bounded(self.function(x, y), self.low, self.high, self.name)

    @property
    def symmetric(self) -> bool:
        """Whether exchanging the sides leaves the value."""
        return not self.direction


@dataclass(frozen=True)
class Null:
    """Hold the values under shuffled pairing.

    Attributes:
        mean: of all values.
        low: the quantile of 5 %.
        high: the quantile of 95 %.
        values: shuffle by shuffle.

    Examples:
        >>> level = ms.measures.null_level("cka", x, y)
        >>> level.low < level.mean < level.high
        True
    """

    mean: float
    low: float
    high: float
    values: tuple[float, ...] = ()


@dataclass(frozen=True)
class Result:
    """Hold one value beside its null level.

    The fields of the null level are None where it was not asked for.

    Attributes:
        name: of the measure.
        value: of the right pairing.
        null_mean: the mean under shuffled pairing.
        null_high: the quantile of 95 % there.
        null_low: the quantile of 5 %.
        kind: whether more means more alike ("similarity") or less ("distance").

    Examples:
        >>> (found,) = ms.measures.evaluate(x, y, ["cka"])
        >>> found.beyond_null
        True
    """

    name: str
    value: float
    null_mean: float | None
    null_high: float | None
    null_low: float | None = None
    kind: Literal["similarity", "distance"] = "similarity"

    @property
    def beyond_null(self) -> bool | None:
        """Whether the sides are more alike than 95% of the shuffled pairings; None without a null level."""
        if self.null_low is None or self.null_high is None:
            return None
        return self.value > self.null_high if self.kind == "similarity" else self.value < self.null_low
