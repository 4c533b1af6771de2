"""Wrong pairings: the null level of a fit or a measure."""

from __future__ import annotations

import torch
from torch import Tensor


def derangement(n: int, generator: torch.Generator) -> Tensor:
    """A permutation of n that leaves nothing in its place, where n is 2 or more: one random cycle through all."""
    order = torch.randperm(n, generator=generator)
    result = torch.empty_like(order)
    result[order] = order.roll(1)
    return result
