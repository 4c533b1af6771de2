"""Many tests at once: the false discovery rate (Benjamini and Hochberg 1995). No torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .bootstrap import Floats


def controlled(p: Floats | Sequence[float]) -> Floats:
    """The q-values of p-values, in the same shape: of all that are at most some q, a share of q is there by chance."""
    from scipy.stats import false_discovery_control

    values = np.asarray(p, dtype=np.float64)
    if not values.size:
        return values
    found: Floats = false_discovery_control(values.ravel()).reshape(values.shape)
    return found
