"""Datasets seen differently: images in memory, some samples of another dataset (a fair choice), other labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from ..support.device import mapped
from .batch import all_labels, raw_batch, together
from .labels import as_labels
from .pairs import pair_of

FIXED_SEED = 20210614  # of what does not move with the caller's seed: test splits, above all
SHARE = 0.25  # of the memory that is free on a device: what images may take of it


class Held:
    """Samples in memory.

    Args:
        inputs: of all samples: tensors or arrays (n, ...), dicts or tuples of such, or a list of tensors.
        labels: (n, ...), see ``as_labels``.
    """

    def __init__(self, inputs: Any, labels: Tensor) -> None:
        self.inputs, self.labels = inputs, as_labels(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, Tensor]:
        inputs, labels = self.batch(torch.tensor([index]))
        return mapped(inputs, lambda part: part[0]), labels[0]

    def batch(self, ids: Tensor) -> tuple[Any, Tensor]:
        """The samples ``ids`` (n,) at once."""
        return mapped(self.inputs, lambda part: _chosen(part, ids)), self.labels[ids]


class Images(Held):
    """Images in memory: inputs (n, channels, height, width), uint8 or float32, and int64 labels (n,)."""

    def __init__(self, inputs: Tensor, labels: Tensor) -> None:
        if inputs.ndim != 4 or len(inputs) != len(labels):
            raise DataError(
                f"Images need inputs (n, channels, height, width) and n labels, "
                f"found {tuple(inputs.shape)} and {tuple(labels.shape)}."
            )
        super().__init__(inputs, labels)


class Several(Held):
    """Images of several sizes in memory: a list of (channels, height, width), and int64 labels (n,)."""


class Tokens(Held):
    """Texts in memory.

    Ids and mask int64 (n, t), labels (n,) for classes or (n, t) for tokens, -100 where none counts.
    """

    def __init__(self, ids: Tensor, mask: Tensor, labels: Tensor) -> None:
        super().__init__({"input_ids": ids, "attention_mask": mask}, labels)
        self.ids, self.mask = ids, mask

    def picked(self, ids: Tensor) -> Tokens:
        """The samples ``ids`` (n,) alone."""
        return Tokens(self.ids[ids], self.mask[ids], self.labels[ids])


def _chosen(part: Any, ids: Tensor) -> Any:
    if isinstance(part, Tensor):
        return part[ids]
    if isinstance(part, list):
        return together([part[int(i)] for i in ids])
    found = torch.from_numpy(np.asarray(part[ids.numpy()]))
    return found.to(torch.get_default_dtype()) if found.dtype == torch.float64 else found


class Picked:
    """The samples ``ids`` (n,) of another dataset, in that order."""

    def __init__(self, dataset: Any, ids: Tensor) -> None:
        self.dataset, self.ids = dataset, ids
        known = all_labels(dataset, scan=False)
        self.labels = known[ids] if known is not None else None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.ids[index])]

    def batch(self, ids: Tensor) -> tuple[Any, Tensor]:
        """The samples ``ids`` (n,) of this choice at once."""
        return raw_batch(self.dataset, self.ids[ids])


class Relabelled:
    """The inputs of another dataset with other labels, int64 (n,)."""

    def __init__(self, dataset: Any, labels: Tensor) -> None:
        if len(labels) != len(dataset):
            raise DataError(f"{len(labels)} labels cannot be given to {len(dataset)} samples: expected one for each.")
        self.dataset, self.labels = dataset, as_labels(labels)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Any, Tensor]:
        return pair_of(self.dataset[index])[0], self.labels[index]

    def batch(self, ids: Tensor) -> tuple[Any, Tensor]:
        """The samples ``ids`` (n,) at once."""
        return raw_batch(self.dataset, ids)[0], self.labels[ids]


def placed(dataset: Any, device: torch.device) -> Any:
    """The same dataset with its images, where it holds them in memory, in the memory of a device; labels stay."""
    if isinstance(dataset, Images):
        fits = dataset.inputs.device != device and dataset.inputs.nbytes <= SHARE * _free(device)
        return Images(dataset.inputs.to(device), dataset.labels) if fits else dataset
    if isinstance(dataset, Picked | Relabelled):
        under = placed(dataset.dataset, device)
        if under is dataset.dataset:
            return dataset
        return Picked(under, dataset.ids) if isinstance(dataset, Picked) else Relabelled(under, dataset.labels)
    return dataset


def _free(device: torch.device) -> int:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


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
