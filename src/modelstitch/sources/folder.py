"""Image folders: one sub-folder for each class, under train/, val/ and test/ or split here."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import DataError
from .augment import CropFlip
from .data import Data
from .decode import decode_all, undecodable
from .splits import balanced_order, hold_out

_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
_NAMES = {"fit": ("train", "fit"), "val": ("val", "valid", "validation"), "test": ("test",)}
_SEED = 20210614  # neither the test split nor the order of the fit split moves with the caller's seed


class Files:
    """Image files, decoded in threads batch by batch: uint8 (n, channels, height, width), int64 labels (n,).

    Args:
        paths: the files.
        labels: int64 (n,).
        size: the shorter side is resized to it, the centre cropped; else all images must have one size.
        mode: ``RGB`` or ``L``.
    """

    def __init__(self, paths: list[Path], labels: Tensor, *, size: int | None, mode: str = "RGB") -> None:
        self.paths, self.labels, self.size, self.mode = paths, labels.long(), size, mode

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.batch(torch.tensor([index]))[0][0], self.labels[index]

    def batch(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The samples ``ids`` (n,) at once."""
        paths = [self.paths[int(i)] for i in ids]
        hint = "add '?size=224' to the folder's name to resize and crop them"
        images = decode_all(paths, lambda i: str(paths[i]), mode=self.mode, size=self.size, hint=hint)
        return images, self.labels[ids]


def load_folder(spec: str, *, seed: int = 0, limit: int | None = None) -> Data:
    """The images below a folder, ``DIR`` or ``DIR?size=224``, read from disk as they are needed.

    Splits are its sub-folders train, val and test where it has them. Without val one in ten training images
    is held out, without test one in five, too (the same whatever the seed). The fit split is in a drawn order that
    interleaves the classes, since its first samples stand for all of it in many places (statistics, networks trained on
    some of the data); val and test are sorted by class. Every file's header is read once
    at the start. The fingerprint is that of the files' names, sizes and order, not of their pixels.

    Raises:
        DataError: if there are no classes, or files that are no images (the first is named, all are counted).
    """
    folder, size = _parse(spec)
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"There is no folder {folder!r}: expected one with a sub-folder for each class.")
    parts = {split: _first(root, names) for split, names in _NAMES.items()}
    base = parts["fit"] or root
    classes = sorted(path.name for path in base.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(classes) < 2:
        raise DataError(
            f"The folder {str(base)!r} has {len(classes)} sub-folder(s): expected two or more, one for each class."
        )
    train, labels = _list(base, classes)
    pick = torch.arange(len(train))
    if parts["test"] is not None and parts["fit"] is not None:
        test, test_labels = _list(parts["test"], classes)
        rule = "the folder's own test split"
    else:
        pick, held = hold_out(labels, max(1, len(train) // 5), _SEED)
        test, test_labels = [train[int(i)] for i in held], labels[held]
        rule = "a fixed class-balanced test split of one in five"
    if limit is not None:
        spread = hold_out(labels[pick], min(limit, len(pick)), seed)[1]
        test_pick = hold_out(test_labels, min(limit, len(test)), _SEED)[1]
        pick, test, test_labels = pick[spread], [test[int(i)] for i in test_pick], test_labels[test_pick]
    if parts["val"] is not None and parts["fit"] is not None:
        (val, val_labels), fit_ids = _list(parts["val"], classes), pick
        rule += ", its own validation split"
    else:
        kept, held = hold_out(labels[pick], max(1, len(pick) // 10), seed)
        val, val_labels, fit_ids = [train[int(pick[i])] for i in held], labels[pick[held]], pick[kept]
        rule += f", one in ten of the rest for validation (seed {seed})"
    fit_ids = fit_ids[balanced_order(labels[fit_ids], _SEED)]
    rule += ", the rest to fit, its classes interleaved in a fixed drawn order"
    fit = [train[int(i)] for i in fit_ids]
    _check([*fit, *val, *test])
    begun = hashlib.sha256(repr((size, classes)).encode())
    whole, measured = begun.copy(), begun.copy()
    for split, paths in (("fit", fit), ("val", val), ("test", test)):
        for path in paths:
            line = f"{split} {path.relative_to(root).as_posix()} {path.stat().st_size}\n".encode()
            whole.update(line)
            if split == "test":
                measured.update(line)
    sets = (
        Files(paths, one, size=size) for paths, one in ((fit, labels[fit_ids]), (val, val_labels), (test, test_labels))
    )
    return Data(
        *sets,
        name=root.resolve().name,
        classes=classes,
        augment=CropFlip(max(1, (size or 32) // 8), flip=True),
        split_rule=rule,
        fingerprint=whole.hexdigest(),
        test_fingerprint=measured.hexdigest(),
    )


def _parse(spec: str) -> tuple[str, int | None]:
    folder, mark, option = spec.partition("?")
    if not mark:
        return folder, None
    key, _, value = option.partition("=")
    if key != "size" or not value.isdecimal() or int(value) < 1:
        raise DataError(f"The folder option {option!r} is not known: expected 'size=' and a number of pixels.")
    return folder, int(value)


def _first(root: Path, names: tuple[str, ...]) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)


def _list(base: Path, classes: list[str]) -> tuple[list[Path], Tensor]:
    paths: list[Path] = []
    labels: list[int] = []
    unknown = sorted(path.name for path in base.iterdir() if path.is_dir() and path.name not in classes)
    if unknown:
        raise DataError(f"The class {unknown[0]!r} of the folder {str(base)!r} is not in the training folder.")
    for label, name in enumerate(classes):
        here = base / name
        found = sorted(p for p in here.rglob("*") if p.suffix.lower() in _SUFFIXES) if here.is_dir() else []
        paths.extend(found)
        labels.extend([label] * len(found))
    if not paths:
        raise DataError(f"The folder {str(base)!r} holds no images: expected .png, .jpg or the like.")
    return paths, torch.tensor(labels)


def _check(paths: list[Any]) -> None:
    bad = undecodable(paths)
    if bad:
        raise DataError(
            f"{len(bad)} of {len(paths)} files are no images, the first is {bad[0]}: repair or remove them; "
            "none is dropped silently."
        )
