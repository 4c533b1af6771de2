"""Label variants of the paper's label-quality experiments: coarser labels, and partly random ones."""

from __future__ import annotations

import re

import torch

from ..data.data import SPLITS, Data
from ..errors import DataError

_ANIMALS = range(2, 8)  # CIFAR-10: bird, cat, deer, dog, frog, horse
_RANDOM = re.compile(r"random-(\d+)")


def with_labels(data: Data, variant: str, *, seed: int = 0) -> Data:
    """The same inputs under other labels.

    Args:
        variant: ``true`` (the data as they are); ``object-animal`` (CIFAR-10 in two classes: 0 animal, 1
            object); ``random-P`` (P percent of the fit labels drawn anew, uniformly over all classes; val and
            test stay true).
        seed: of the random labels; they are fixed before training.

    Raises:
        DataError: if the variant is unknown, or does not suit the data.
    """
    if variant == "true":
        return data
    if variant == "object-animal":
        return _object_animal(data)
    match = _RANDOM.fullmatch(variant)
    if match is None or int(match[1]) > 100:
        raise DataError(f"The label variant {variant!r} is not known: expected 'true', 'object-animal' or 'random-10'.")
    labels = data.labels("fit").clone()
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(labels), generator=generator)[: round(len(labels) * int(match[1]) / 100)]
    labels[chosen] = torch.randint(0, data.n_classes, (len(chosen),), generator=generator)
    classes = data.classes or [str(i) for i in range(data.n_classes)]
    return data.relabelled({"fit": labels}, name=f"{data.name} {variant}", classes=classes)


def _object_animal(data: Data) -> Data:
    if data.n_classes != 10:
        raise DataError(f"'object-animal' labels are for CIFAR-10, found {data.n_classes} classes in {data.name}.")
    objects = torch.tensor([i not in _ANIMALS for i in range(10)])
    splits = {split: objects[data.labels(split)].long() for split in SPLITS}
    return data.relabelled(splits, name=f"{data.name} object-animal", classes=["animal", "object"])
