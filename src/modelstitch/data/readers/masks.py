"""Images with masks: images/ and masks/, whose pixels are the numbers of classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import DataError
from ..data import SPLITS, Data
from ..labels import IGNORED
from ..subsets import Images
from ..tasks import DENSE
from .decode import ImageKind, ImageOptions, decode_all, kind_of, numbers_of
from .image_tree import NAMES, pictures
from .source import need_folder, three

_VOID = 255  # what masks of 8 bits mark pixels with that count for nothing


def load_masks(spec: str, *, seed: int = 0, limit: int | None = None) -> Data:
    """The images of ``DIR/images`` with the masks of ``DIR/masks`` of the same names, or of ``DIR/train`` and so on.

    ``DIR?mode=RGB`` makes grey images colour. A mask is a picture of one channel (or of a palette) whose values are
    classes; 255 counts for nothing. Images and masks have one size. Splits are sub-folders train, val and test with
    images/ and masks/ each; without a test one sample in five is held out, the same whatever the seed, and without a
    val one in ten of the rest.

    Raises:
        DataError: if folders or masks are missing, a mask holds colours, or sizes differ.
    """
    folder, asked = ImageOptions.parse(spec)
    root = Path(folder)
    need_folder(root, "with images/ and masks/")
    if asked.size is not None:
        raise DataError("Masks are not resized: expected no '?size='; resize images and masks together beforehand.")
    places = {split: place for split in SPLITS if (place := _place(root, split)) is not None}
    files = {split: _pairs(place) for split, place in (places or {"fit": root}).items()}
    kind = ImageKind.joined(
        [kind_of([image for image, _ in pairs], _naming(pairs, 0), asked) for pairs in files.values()], asked
    )
    found: dict[str, Images] = {split: _read(pairs, kind, asked) for split, pairs in files.items()}
    sets, rule = three(found, f"The folder {folder!r}", "folders", seed=seed, limit=limit)
    return Data(
        *(sets[split] for split in SPLITS),
        name=root.resolve().name + (f"[limit {limit}]" if limit is not None else ""),
        task=DENSE,
        split_rule=rule,
    )


def _place(root: Path, split: str) -> Path | None:
    """The folder of a split with images/ in it."""
    below = {path.name.lower(): path for path in root.iterdir() if (path / "images").is_dir()}
    return next((below[name] for name in NAMES[split] if name in below), None)


def _pairs(root: Path) -> list[tuple[Path, Path]]:
    """The images of a folder, each with the mask of its name.

    Raises:
        DataError: a folder is missing, or images have no mask.
    """
    for part in ("images", "masks"):
        if not (root / part).is_dir():
            there = ", ".join(sorted(path.name for path in root.iterdir())[:5]) or "nothing"
            raise DataError(f"The folder {str(root)!r} has no {part}/: expected images/ and masks/, found {there}.")
    images, masks = ({path.stem: path for path in pictures(root / part)} for part in ("images", "masks"))
    if not images:
        raise DataError(f"The folder {str(root / 'images')!r} holds no images: expected .png, .jpg or the like.")
    alone = sorted(set(images) - set(masks))
    if alone:
        raise DataError(
            f"{len(alone)} of {len(images)} images of {str(root)!r} have no mask, the first is "
            f"{images[alone[0]].name}: expected one of the same name in masks/ for each."
        )
    return [(images[stem], masks[stem]) for stem in sorted(images)]


def _naming(pairs: Sequence[tuple[Path, Path]], which: int) -> Callable[[int], str]:
    return lambda i: str(pairs[i][which])


def _read(pairs: Sequence[tuple[Path, Path]], kind: ImageKind, asked: ImageOptions) -> Images:
    """Images and masks of one split, decoded into memory."""
    hint = "give images of one size"
    images = decode_all([image for image, _ in pairs], _naming(pairs, 0), kind, asked, hint=hint)
    maps = numbers_of([mask for _, mask in pairs], _naming(pairs, 1))
    assert isinstance(images, Tensor)
    size = tuple(images.shape[2:])
    other = next((i for i, found in enumerate(maps) if found.shape != size), None)
    if other is not None:
        raise DataError(
            f"The mask {pairs[other][1]} is {maps[other].shape[1]}x{maps[other].shape[0]}, its image "
            f"{size[1]}x{size[0]}: expected one size for both."
        )
    found = torch.from_numpy(np.stack(maps))
    return Images(images, found.masked_fill(found == _VOID, IGNORED))
