"""Small image sets through torchvision's own readers (and, when asked, its downloader)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...errors import DataError, MissingExtraError, first_line
from ..batch import CropFlip
from ..data import Data
from ..subsets import Images, hold_out

SETS: dict[str, tuple[str, bool]] = {  # name: torchvision's class, whether its images may be mirrored
    "cifar10": ("CIFAR10", True),
    "cifar100": ("CIFAR100", True),
    "mnist": ("MNIST", False),
    "fashion-mnist": ("FashionMNIST", True),
    "svhn": ("SVHN", False),
}


def load_torchvision(name: str, root: str, *, seed: int = 0, limit: int | None = None, download: bool = False) -> Data:
    """A torchvision set from ``root``, in memory as uint8; one in ten training images is held out.

    torchvision checks the CIFAR and SVHN files against their published checksums before it reads them.

    Raises:
        DataError: if the set is not there (what to download and where to put it), or cannot be read.
        MissingExtraError: if torchvision is not installed, or does not fit the installed torch.
    """
    title, flip = SETS[name]
    train, test = (_read(title, name, root, train=train, download=download) for train in (True, False))
    inputs, labels = _tensors(train, limit)
    fit, val = hold_out(labels, max(1, len(labels) // 10), seed)
    classes = getattr(train, "classes", None)
    return Data(
        Images(inputs[fit], labels[fit]),
        Images(inputs[val], labels[val]),
        Images(*_tensors(test, limit)),
        name=name + (f"[limit {limit}]" if limit is not None else ""),
        classes=classes,
        n_classes=10 if classes is None else None,
        augment=CropFlip(4, flip=flip),
        split_rule=f"the set's own test split; one in ten training images for validation (seed {seed})",
    )


def _read(title: str, name: str, root: str, *, train: bool, download: bool) -> Any:
    try:
        from torchvision import datasets
    except (
        ImportError,
        RuntimeError,
    ) as error:  # a torchvision built for another torch fails with RuntimeError
        raise MissingExtraError(
            f"The data {name!r} need torchvision, which does not load ({first_line(error)}): "
            "pip install 'modelstitch[torchvision]'."
        ) from error
    reader = getattr(datasets, title)
    split: dict[str, Any] = {"split": "train" if train else "test"} if title == "SVHN" else {"train": train}
    try:
        return reader(root, download=download, **split)
    except Exception as error:  # torchvision has no error of its own: missing, corrupt and offline all end here
        if download:
            raise DataError(
                f"{title} could not be downloaded to {root!r} ({first_line(error)}): "
                f"download it elsewhere and copy {_files(reader, title)} there."
            ) from error
        raise DataError(
            f"{title} is not in the folder {root!r}: download it (download=True, or by hand) and put "
            f"{_files(reader, title)} there."
        ) from error


def _files(reader: Any, title: str) -> str:
    """The files that torchvision looks for below the root, in words."""
    if title.startswith("CIFAR"):
        return f"the folder {reader.base_folder!r} (unpacked from {reader.filename})"
    if title == "SVHN":
        return " and ".join(f"{reader.split_list[part][1]!r}" for part in ("train", "test"))
    return f"{', '.join(one for one, _ in reader.resources)} (unpacked) into the folder '{title}/raw'"


def _tensors(dataset: Any, limit: int | None) -> tuple[Tensor, Tensor]:
    inputs = torch.as_tensor(dataset.data[:limit])
    labels = torch.as_tensor(dataset.labels if hasattr(dataset, "labels") else dataset.targets)[:limit].long()
    if inputs.ndim == 3:
        inputs = inputs[:, None]
    elif inputs.shape[-1] == 3:
        inputs = inputs.permute(0, 3, 1, 2).contiguous()
    return inputs, labels
