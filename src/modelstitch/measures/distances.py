"""Euclidean distances between examples, and when two of them count as equal."""

from __future__ import annotations

import torch
from torch import Tensor

from ..support.memory import require

# Two distances tie where they differ by less than rounding could make of equal ones: an orthogonal map or an
# offset must not break ties. The second term is for equal examples, whose distance is 0 up to rounding of
# the coordinates.
TIE_RELATIVE, TIE_OF_LARGEST = 1e-9, 1e-12


def distances(x: Tensor, measure: str) -> Tensor:
    """The distances (n, n) between the rows of x (n, p).

    From differences, not from the Gram matrix, whose cancellation would set equal examples apart.

    Raises:
        MeasureError: if n x n numbers do not fit into memory.
    """
    n = len(x)
    # Two sides, each with the distances and two matrices made from them.
    require(6 * 8 * n * n, f"The distances that {measure} takes between {n:,} examples", "use fewer examples")
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")


def tolerance(d: Tensor, largest: Tensor) -> Tensor:
    """How far from each distance, up to ``largest``, another one still ties with it; the shape of d."""
    return TIE_RELATIVE * d + TIE_OF_LARGEST * largest
