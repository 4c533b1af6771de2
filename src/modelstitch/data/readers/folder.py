"""Image folders: one sub-folder for each class, under train/, val/ and test/ or split here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ...errors import DataError
from ...support.hashing import Hash
from ..batch import CropFlip
from ..data import Data
from ..subsets import FIXED_SEED, balanced_order, hold_out
from .decode import ImageKind, ImageOptions, dark, decode_all, kind_of
from .image_tree import read_tree
from .source import need_folder

_LOOKED = 32  # deep images that are decoded at the start


class Files:
    """Image files, decoded in threads batch by batch.

    (n, channels, height, width), uint8 or float32, int64 labels (n,).

    Args:
        paths: the files.
        labels: int64 (n,).
        kind: what all images of the set become.
        asked: size, mode and background.
    """

    def __init__(self, paths: list[Path], labels: Tensor, kind: ImageKind, asked: ImageOptions) -> None:
        self.paths, self.labels, self.kind, self.asked = paths, labels.long(), kind, asked

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.batch(torch.tensor([index]))[0][0], self.labels[index]

    def batch(self, ids: Tensor) -> tuple[Tensor | list[Tensor], Tensor]:
        """The samples ``ids`` (n,) at once."""
        paths = [self.paths[int(i)] for i in ids]
        hint = (
            "add '?size=224' to the folder's name to resize and crop them, '?size=any' to leave that to the "
            "networks' views"
        )
        return decode_all(paths, lambda i: str(paths[i]), self.kind, self.asked, hint=hint), self.labels[ids]


def load_folder(spec: str, *, seed: int = 0, limit: int | None = None) -> Data:
    """The images below ``DIR`` or ``DIR?size=224&mode=RGB&background=white``, read from disk as they are needed.

    Splits are its sub-folders train, val and test where it has them. Without test, val is the test split; without both
    one in five training images is (the same whatever the seed). Without a val that is left one in ten of the rest is
    held out. The fit split is in a drawn order that interleaves the classes, since its first samples stand for all of
    it in many places (statistics, networks trained on some of the data); val and test are sorted by class. Every file's
    header is read once at the start, and decides for the whole set whether images are grey or in colour. The
    fingerprint is that of the files' names, sizes and order, not of their pixels.

    Raises:
        DataError: if there are no classes, or files that are no images or cannot be taken (the first is named, all are
            counted), or one file stands in two splits.
    """
    folder, asked = ImageOptions.parse(spec)
    root = Path(folder)
    need_folder(root, "with a sub-folder for each class")
    tree = read_tree(root)
    train, labels = _listed(*tree.parts["fit"].listed(tree.classes))
    pick = torch.arange(len(train))
    if "test" in tree.parts:
        test, test_labels = _listed(*tree.parts["test"].listed(tree.classes))
        rule = "the folder's own test split"
    else:
        pick, held = hold_out(labels, max(1, len(train) // 5), FIXED_SEED)
        test, test_labels = [train[int(i)] for i in held], labels[held]
        rule = "a fixed class-balanced test split of one in five"
    if limit is not None:
        spread = hold_out(labels[pick], min(limit, len(pick)), seed)[1]
        test_pick = hold_out(test_labels, min(limit, len(test)), FIXED_SEED)[1]
        pick, test, test_labels = pick[spread], [test[int(i)] for i in test_pick], test_labels[test_pick]
    if "val" in tree.parts:
        (val, val_labels), fit_ids = _listed(*tree.parts["val"].listed(tree.classes)), pick
        rule += ", its own validation split"
    else:
        kept, held = hold_out(labels[pick], max(1, len(pick) // 10), seed)
        val, val_labels, fit_ids = [train[int(pick[i])] for i in held], labels[pick[held]], pick[kept]
        rule += f", one in ten of the rest for validation (seed {seed})"
    fit_ids = fit_ids[balanced_order(labels[fit_ids], FIXED_SEED)]
    rule += ", the rest to fit, its classes interleaved in a fixed drawn order"
    fit = [train[int(i)] for i in fit_ids]
    every = [*fit, *val, *test]
    kind = kind_of(every, lambda i: str(every[i]), asked, broken="files are no images")
    if kind.deep:
        some = every[:_LOOKED]
        tree.said.extend(dark(*(torch.as_tensor(decode_all([path], str, kind, asked)) for path in some)))
    files = {"fit": fit, "val": val, "test": test}
    whole, measured = _fingerprints(root, repr((asked, kind, tree.classes)), files)
    sets = (
        Files(paths, one, kind, asked)
        for paths, one in ((fit, labels[fit_ids]), (val, val_labels), (test, test_labels))
    )
    return Data(
        *sets,
        name=root.resolve().name,
        classes=tree.classes,
        augment=CropFlip(max(1, (asked.size or 32) // 8), flip=not kind.grey),
        split_rule="; ".join([rule, *tree.said]),
        fingerprint=whole,
        test_fingerprint=measured,
        notes=tree.said,
    )


def _listed(paths: list[Path], labels: Sequence[int]) -> tuple[list[Path], Tensor]:
    return paths, torch.tensor(labels)


def _fingerprints(root: Path, begun: str, files: Mapping[str, Sequence[Path]]) -> tuple[str, str]:
    """Hashes of all files' names and sizes, and of those of the test split.

    Raises:
        DataError: one file stands in two splits.
    """
    whole, measured = Hash(begun), Hash(begun)
    met: dict[tuple[int, int], tuple[str, Path]] = {}
    for split, path in ((split, path) for split, paths in files.items() for path in paths):
        about = path.stat()
        before, other = met.setdefault((about.st_dev, about.st_ino), (split, path))
        if before != split:
            raise DataError(
                f"The {before} and the {split} split hold one file, {other} and {path}: expected disjoint splits; "
                "remove one of the links."
            )
        line = f"{split} {path.relative_to(root).as_posix()} {about.st_size}\n"
        whole.add(line)
        if split == "test":
            measured.add(line)
    return whole.hex(), measured.hex()
