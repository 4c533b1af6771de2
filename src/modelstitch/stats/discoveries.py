"""Many tests at once: the false discovery rate (Benjamini and Hochberg 1995). No torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .bootstrap import Floats


def controlled(p: Floats | Sequence[float]) -> Floats:
    """The q-values of p-values, in the same shape: of all that are at most some q, a share of q is there by chance."""
    # Four lines, since scipy's statistics take a second to import.
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, axis=None)[::-1]  # from the largest on
    ranks, found = np.arange(values.size, 0, -1), np.empty(values.size)
    found[order] = np.minimum.accumulate(np.minimum(values.ravel()[order] * values.size / ranks, 1.0))
    return found.reshape(values.shape)
