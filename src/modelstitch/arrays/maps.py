"""A solved map on rows, in numpy: what a query goes through, without torch and without a check that costs time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class RowMap:
    """x -> W x + b, with a hidden layer + U gelu(V x + c); of directions x is A x + a first, brought to length 1.

    Attributes:
        weight: W, shape (q, p).
        bias: b, shape (q,).
        hidden: U (q, h), V (h, p) and c (h,), or nothing.
        direction: A (p, p) and a (p,), or nothing.
    """

    weight: Array
    bias: Array
    hidden: tuple[Array, Array, Array] | None = None
    direction: tuple[Array, Array] | None = None

    def __call__(self, x: Array) -> Array:
        """Rows (n, q) of rows x (n, p); of a single one by a product of matrix and vector, which is quicker."""
        if self.direction is not None:
            turn, shift = self.direction
            x = unit(x @ turn.T + shift)
        if len(x) == 1:
            found: Array = self.weight.dot(x[0])  # quicker to call than @
            found += self.bias
            if self.hidden is not None:
                up, down, shift = self.hidden
                found += up @ gelu(down @ x[0] + shift)
            return found[None]
        found = x @ self.weight.T
        found += self.bias
        if self.hidden is not None:
            up, down, shift = self.hidden
            found += gelu(x @ down.T + shift) @ up.T
        return found

    def to(self, dtype: type[np.floating[Any]]) -> RowMap:
        """The same map on rows of another type."""
        return RowMap.of({name: np.ascontiguousarray(numbers, dtype) for name, numbers in self.arrays().items()})

    def arrays(self) -> dict[str, Array]:
        """Its numbers by name."""
        named = {"weight": self.weight, "bias": self.bias}
        named |= dict(zip(("up", "down", "shift"), self.hidden or ()))
        return named | dict(zip(("turn", "away"), self.direction or ()))

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> RowMap:
        """The map of which ``arrays`` gave the numbers.

        Raises:
            KeyError: one is missing.
        """
        hidden = (arrays["up"], arrays["down"], arrays["shift"]) if "up" in arrays else None
        direction = (arrays["turn"], arrays["away"]) if "turn" in arrays else None
        return cls(arrays["weight"], arrays["bias"], hidden, direction)


def unit(x: Array) -> Array:
    """Rows of length 1; a row of zeros stays."""
    length = np.sqrt(np.einsum("ij,ij->i", x, x))[:, None]
    found: Array = x / np.where(length > 0, length, 1)
    return found


def gelu(x: Array) -> Array:
    """x times the share of a normal distribution below it."""
    from scipy.special import ndtr

    found: Array = x * ndtr(x)
    return found
