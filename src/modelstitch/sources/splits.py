"""Seeded, class-balanced choices of samples."""

from __future__ import annotations

import torch
from torch import Tensor


def balanced_order(labels: Tensor, seed: int) -> Tensor:
    """A seeded order of the samples (n,): every prefix holds the classes in their overall proportion.

    Each sample gets its random rank within its class, as a fraction of that class; sorting by it
    interleaves the classes. Ties (equal fractions of classes of equal size) fall by a second random number.
    """
    generator = torch.Generator().manual_seed(seed)
    labels = labels if labels.ndim == 1 else torch.zeros(len(labels), dtype=torch.int64)
    shuffled = torch.randperm(len(labels), generator=generator)
    rank = torch.empty(len(labels), dtype=torch.float64)
    for label in sorted(set(labels.tolist())):
        members = shuffled[labels[shuffled] == label]
        rank[members] = (torch.arange(len(members), dtype=torch.float64) + 0.5) / len(members)
    return shuffled[torch.argsort(rank[shuffled], stable=True)]


def hold_out(labels: Tensor, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Sorted indices (kept, held out) with ``n`` samples held out, balanced over the classes."""
    order = balanced_order(labels, seed)
    return order[n:].sort().values, order[:n].sort().values
