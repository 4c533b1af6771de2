"""Images in Parquet files as the Hugging Face hub lays them out: train-*.parquet and test-*.parquet."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...errors import DataError, first_line
from ...support import tables
from ...support.reading import json_of
from ..batch import CropFlip
from ..data import Data
from ..subsets import Images, Picked, Several, hold_out
from .decode import ImageKind, ImageOptions, dark, decode_all, kind_of
from .source import need_folder
from .tables import read_labels

if TYPE_CHECKING:
    import polars

_IMAGE, _LABEL = ("img", "image"), ("label", "fine_label", "labels")
_UNLABELLED = -1  # what the hub's sets write where labels are kept secret
_VAL_NAMES = ("validation", "valid", "val", "dev")


@dataclass
class _ImageRows:
    """The rows of one split: encoded images, int64 labels (n,), and how a message calls each row."""

    sources: list[bytes | None] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    labels: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))

    def kind(self, asked: ImageOptions) -> ImageKind:
        return kind_of(self.sources, self.names.__getitem__, asked)

    def decoded(self, kind: ImageKind, asked: ImageOptions) -> Images | Several:
        found = decode_all(self.sources, self.names.__getitem__, kind, asked)
        return Several(found, self.labels) if isinstance(found, list) else Images(found, self.labels)


def load_parquet(spec: str, *, seed: int = 0, limit: int | None = None) -> Data:
    """The images of a folder of Parquet files, ``DIR`` or ``DIR?size=224&mode=RGB``, decoded once into memory.

    The image column (``img`` or ``image``) holds structs {bytes, path}, the label column (``label`` or ``fine_label``)
    integers or names of classes. All images that are read decide together whether they are grey or in colour. Without
    test files those for validation are the test split. Without validation files that are left one in ten training
    images is held out.

    Raises:
        DataError: if files or columns are missing, or images do not decode or cannot be taken (first row and count
            told).
    """
    folder, asked = ImageOptions.parse(spec)
    root = Path(folder)
    need_folder(root, "with train-*.parquet and test-*.parquet")
    if not any(root.glob("*.parquet")) and (root / "data").is_dir():  # how the hub's repositories lay them out
        root = root / "data"
    files, notes = _splits(root, folder)
    rows, classes = _read(files, limit)
    if "val" in rows and bool((rows["test"].labels == _UNLABELLED).all()):
        notes.append(
            f"the labels of {files['test'][0].name} are all {_UNLABELLED}: {files['val'][0].name} is the test split "
            "instead, and validation samples are held out of those of train"
        )
        rows["test"] = rows.pop("val")
    kind = ImageKind.joined([part.kind(asked) for part in rows.values()], asked)
    sets: dict[str, Any] = {split: part.decoded(kind, asked) for split, part in rows.items()}
    if isinstance(sets["fit"], Images):
        notes += dark(sets["fit"].inputs)
    rule = "the source's own files"
    if "val" not in sets:
        train = sets["fit"]
        fit, val = hold_out(train.labels, max(1, len(train) // 10), seed)
        sets["fit"], sets["val"] = (
            Images(train.inputs[ids], train.labels[ids]) if isinstance(train, Images) else Picked(train, ids)
            for ids in (fit, val)
        )
        rule = f"the source's own test files; one in ten training images for validation (seed {seed})"
    return Data(
        sets["fit"],
        sets["val"],
        sets["test"],
        name=(root.parent if root.name == "data" else root).resolve().name
        + (f"[limit {limit}]" if limit is not None else ""),
        classes=classes,
        augment=_augment(sets["fit"][0][0]),
        split_rule="; ".join([rule, *notes]),
        notes=notes,
    )


def _splits(root: Path, folder: str) -> tuple[dict[str, list[Path]], list[str]]:
    """The files of each split that there is, and what is to be said of them."""
    names = {"fit": ("train",), "val": _VAL_NAMES, "test": ("test",)}
    found = {
        split: sorted(path for part in parts for path in root.glob(f"{part}[-.]*parquet"))
        for split, parts in names.items()
    }
    notes = []
    if found["val"] and not found["test"]:
        found["test"], found["val"] = found["val"], []
        notes.append(
            f"there are no test files: {found['test'][0].name} is the test split, and validation samples are held "
            f"out of those of train"
        )
    if not found["fit"] or not found["test"]:
        part = "train" if not found["fit"] else "test"
        there = ", ".join(sorted(path.name for path in root.iterdir())[:5]) or "nothing"
        raise DataError(
            f"The folder {folder!r} has no {part}-*.parquet: found {there}; name the files after their split."
        )
    return {split: paths for split, paths in found.items() if paths}, notes


def _augment(image: Tensor) -> CropFlip:
    # Grey images are often writing, which no mirror leaves what it was.
    return CropFlip(max(1, image.shape[-1] // 8), flip=len(image) == 3)


def _read(files: dict[str, list[Path]], limit: int | None) -> tuple[dict[str, _ImageRows], list[str] | None]:
    """The rows of every split, and the names of the classes: the writer's, else those that the labels are, in order."""
    found = {split: _ImageRows() for split in files}
    columns: list[tuple[polars.Series, Path]] = []
    whose: list[_ImageRows] = []
    for split, rows in found.items():
        for path in files[split]:
            left = None if limit is None else limit - len(rows.sources)
            if left == 0:
                break
            frame = _frame(path, left)
            image, label = _column(frame, _IMAGE, path), _column(frame, _LABEL, path)
            columns.append((frame[label], path))
            whose.append(rows)
            rows.names.extend(f"row {row} of {path.name}" for row in range(len(frame)))
            rows.sources.extend(_bytes(frame[image], path))
        if not rows.sources:
            empty = ", ".join(path.name for path in files[split])
            raise DataError(f"{empty} hold no rows: expected at least one image.")
    labels, classes = read_labels(columns, _classes(files["fit"][0]))
    for rows, part in zip(whose, labels):
        rows.labels = torch.cat([rows.labels, part])
    return found, classes


def _frame(path: Path, n_rows: int | None) -> polars.DataFrame:
    try:
        return tables.read(path, "parquet", wanted=_IMAGE + _LABEL, n_rows=n_rows)
    except (tables.UnreadableError, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet ({first_line(error)}): copy it again.") from error


def _column(frame: polars.DataFrame, names: tuple[str, ...], path: Path) -> str:
    for name in names:
        if name in frame.columns:
            return name
    raise DataError(f"{path.name} has no column {' or '.join(map(repr, names))}: found {', '.join(frame.columns)}.")


def _bytes(column: polars.Series, path: Path) -> list[bytes | None]:
    import polars

    if isinstance(column.dtype, polars.Struct):
        column = column.struct.field("bytes")
    if column.dtype != polars.Binary:
        raise DataError(
            f"The images of {path.name} are stored as {column.dtype}: expected bytes, or structs with bytes."
        )
    return column.to_list()


def _classes(path: Path) -> list[str] | None:
    """The class names that the writer left in the file's metadata, if it did."""
    import polars

    read = getattr(polars, "read_parquet_metadata", None)  # polars 1.28 and later
    if read is None:
        return None
    try:
        features = json_of(read(path)["huggingface"])["info"]["features"]
        names = next(features[name]["names"] for name in _LABEL if name in features)
    except (KeyError, ValueError, TypeError, AttributeError, StopIteration):  # metadata is optional, and free in form
        return None
    return [str(name) for name in names]
