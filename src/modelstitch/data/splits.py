"""Seeded, class-balanced choices of samples."""

from __future__ import annotations

import torch
from torch import Tensor

_BATCH = 256  # statistics are means over batches, so that the first of these must be a fair sample, too


def balanced_order(labels: Tensor, seed: int) -> Tensor:
    """A seeded order of the samples (n,): every prefix holds the classes in their overall proportion.

    Each sample gets its random rank within its class, as a fraction of that class; sorting by it
    interleaves the classes. Ties (equal fractions of classes of equal size) fall by a second random number.
    """
    generator = torch.Generator().manual_seed(seed)
    labels = labels if labels.ndim == 1 else torch.zeros(len(labels), dtype=torch.int64)
    shuffled = torch.randperm(len(labels), generator=generator)
    rank = torch.empty(len(labels), dtype=torch.float64)
    _, group, counts = torch.unique(labels[shuffled], return_inverse=True, return_counts=True)
    members = group.argsort(stable=True)  # class after class, each in the drawn order
    first = counts.cumsum(0) - counts
    within = torch.arange(len(labels)) - first[group[members]]
    rank[shuffled[members]] = (within.double() + 0.5) / counts[group[members]]
    return shuffled[torch.argsort(rank[shuffled], stable=True)]


def few(labels: Tensor | None, total: int, n: int) -> Tensor:
    """Indices of n of ``total`` samples, for statistics of all.

    The first ones, unless these are no fair sample of the classes.

    Then, and where labels are not known, a fixed draw: of samples sorted by class the first are of one class, and so is
    each batch of them.
    """
    n = min(n, total)
    if labels is not None and (labels.ndim != 1 or all(_fair(labels, first) for first in (n, min(n, _BATCH)))):
        return torch.arange(n)
    return torch.randperm(total, generator=torch.Generator().manual_seed(0))[:n]


def _fair(labels: Tensor, n: int) -> bool:
    """Whether no class is far from its share among the first n.

    Six standard deviations of a draw without replacement.
    """
    counts = (labels - labels.min()).bincount()
    share = counts.double() / len(labels)
    found = (labels[:n] - labels.min()).bincount(minlength=len(counts)).double()
    spread = (n * share * (1 - share) * (1 - n / len(labels))).sqrt()
    return bool(((found - n * share).abs() <= 6 * spread + 1).all())


def hold_out(labels: Tensor, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Sorted indices (kept, held out) with ``n`` samples held out, balanced over the classes."""
    order = balanced_order(labels, seed)
    return order[n:].sort().values, order[:n].sort().values
