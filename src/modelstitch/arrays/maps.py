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
    """x -> W x + b, and with a hidden layer + U gelu(V x + c).

    Attributes:
        weight: W, shape (q, p).
        bias: b, shape (q,).
        hidden: U (q, h), V (h, p) and c (h,), or nothing.
    """

    weight: Array
    bias: Array
    hidden: tuple[Array, Array, Array] | None = None

    def __call__(self, x: Array) -> Array:
        """Rows (n, q) of rows x (n, p); of a single one by a product of matrix and vector, which is quicker."""
        if len(x) == 1:
            found: Array = self.weight @ x[0]
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
        hidden = None if self.hidden is None else tuple(np.ascontiguousarray(part, dtype) for part in self.hidden)
        weight, bias = (np.ascontiguousarray(part, dtype) for part in (self.weight, self.bias))
        return RowMap(weight, bias, hidden)  # type: ignore[arg-type]

    def arrays(self) -> dict[str, Array]:
        """Its numbers by name."""
        named = {"weight": self.weight, "bias": self.bias}
        return named if self.hidden is None else named | dict(zip(("up", "down", "shift"), self.hidden))

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> RowMap:
        """The map of which ``arrays`` gave the numbers.

        Raises:
            KeyError: one is missing.
        """
        hidden = (arrays["up"], arrays["down"], arrays["shift"]) if "up" in arrays else None
        return cls(arrays["weight"], arrays["bias"], hidden)


def gelu(x: Array) -> Array:
    """x times the share of a normal distribution below it."""
    from scipy.special import ndtr

    found: Array = x * ndtr(x)
    return found
