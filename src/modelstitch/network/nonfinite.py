"""Where a NaN or an infinity came from: the network, the layer and the sample, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..errors import NonFiniteError


def first_bad(values: Tensor, ids: Tensor) -> int | None:
    """The id of the first sample, of values (n, ...) with ids (n,), that holds NaN or infinity; None if none does."""
    bad = (~torch.isfinite(values)).flatten(1).any(1).nonzero()
    return int(ids[bad[0, 0]]) if len(bad) else None


def refuse(network: str, activations: Mapping[str, Tensor], ids: Tensor) -> None:
    """Refuse a batch of a network's activations, {layer: (n, ...)}, that holds NaN or infinity.

    Raises:
        NonFiniteError: naming the first such layer and its first such sample.
    """
    for layer, values in activations.items():
        sample = first_bad(values, ids)
        if sample is not None:
            raise NonFiniteError(
                f"The activations of {network}@{layer} hold NaN or infinity, first for the sample {sample}: expected "
                "finite numbers; check the weights and inputs, or use float32 where float16 overflows."
            )
