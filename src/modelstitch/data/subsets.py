"""Datasets seen differently: images in memory, some samples of another dataset, other labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import DataError
from .access import all_labels, raw_batch, together
from .labels import as_labels
from .pairs import pair_of

SHARE = 0.25  # of the memory that is free on a device: what images may take of it


class Images:
    """Images in memory: inputs (n, channels, height, width), uint8 or float32, and int64 labels (n,)."""

    def __init__(self, inputs: Tensor, labels: Tensor) -> None:
        if inputs.ndim != 4 or len(inputs) != len(labels):
            raise DataError(
                f"Images need inputs (n, channels, height, width) and n labels, "
                f"found {tuple(inputs.shape)} and {tuple(labels.shape)}."
            )
        self.inputs, self.labels = inputs, labels.long()

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.inputs[index], self.labels[index]

    def batch(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The samples ``ids`` (n,) at once."""
        return self.inputs[ids], self.labels[ids]


class Several:
    """Images of several sizes in memory: a list of (channels, height, width), and int64 labels (n,)."""

    def __init__(self, images: Sequence[Tensor], labels: Tensor) -> None:
        self.images, self.labels = images, labels.long()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.images[index], self.labels[index]

    def batch(self, ids: Tensor) -> tuple[Tensor | list[Tensor], Tensor]:
        """The samples ``ids`` (n,) at once: a tensor where their sizes are equal."""
        return together([self.images[int(i)] for i in ids]), self.labels[ids]


class Tokens:
    """Texts in memory.

    Ids and mask int64 (n, t), labels (n,) for classes or (n, t) for tokens, -100 where none counts.
    """

    def __init__(self, ids: Tensor, mask: Tensor, labels: Tensor) -> None:
        self.ids, self.mask, self.labels = ids, mask, labels.long()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[dict[str, Tensor], Tensor]:
        return {"input_ids": self.ids[index], "attention_mask": self.mask[index]}, self.labels[index]

    def batch(self, ids: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The samples ``ids`` (n,) at once."""
        return {"input_ids": self.ids[ids], "attention_mask": self.mask[ids]}, self.labels[ids]

    def picked(self, ids: Tensor) -> Tokens:
        """The samples ``ids`` (n,) alone."""
        return Tokens(self.ids[ids], self.mask[ids], self.labels[ids])


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
