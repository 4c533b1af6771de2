"""Images in Parquet files as the Hugging Face hub lays them out: train-*.parquet and test-*.parquet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import DataError
from .augment import CropFlip
from .data import Data
from .decode import decode_all
from .splits import hold_out
from .views import Images

if TYPE_CHECKING:
    import polars

_IMAGE, _LABEL = ("img", "image"), ("label", "fine_label", "labels")
_VAL_NAMES = ("validation", "valid", "val")


def load_parquet(folder: str, *, seed: int = 0, limit: int | None = None) -> Data:
    """The images of a folder of Parquet files, decoded once into memory (uint8).

    The image column (``img`` or ``image``) holds structs {bytes, path}, the label column (``label`` or
    ``fine_label``) integers. Without validation files one in ten training images is held out.

    Raises:
        DataError: if files or columns are missing, or images do not decode (first row and count told).
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"There is no folder {folder!r}: expected one with train-*.parquet and test-*.parquet.")
    train, test = (_files(root, (part,)) for part in ("train", "test"))
    if not train or not test:
        part = "train" if not train else "test"
        found = ", ".join(sorted(path.name for path in root.iterdir())[:5]) or "nothing"
        raise DataError(
            f"The folder {folder!r} has no {part}-*.parquet: found {found}; name the files after their split."
        )
    train_set, test_set = _read(train, limit), _read(test, limit)
    held = _files(root, _VAL_NAMES)
    if held:
        splits, rule = (train_set, _read(held, limit), test_set), "the source's own files"
    else:
        fit, val = hold_out(train_set.labels, max(1, len(train_set) // 10), seed)
        splits = (
            Images(train_set.inputs[fit], train_set.labels[fit]),
            Images(train_set.inputs[val], train_set.labels[val]),
            test_set,
        )
        rule = f"the source's own test files; one in ten training images for validation (seed {seed})"
    return Data(
        *splits,
        name=root.resolve().name + (f"[limit {limit}]" if limit is not None else ""),
        classes=_classes(train[0]),
        augment=_augment(train_set.inputs),
        split_rule=rule,
    )


def _augment(inputs: Tensor) -> CropFlip:
    # Grey images are often writing, which no mirror leaves what it was.
    return CropFlip(max(1, inputs.shape[-1] // 8), flip=inputs.shape[1] == 3)


def _files(root: Path, parts: tuple[str, ...]) -> list[Path]:
    return sorted(path for part in parts for path in root.glob(f"{part}[-.]*parquet"))


def _read(files: list[Path], limit: int | None) -> Images:
    sources: list[bytes | None] = []
    labels: list[Tensor] = []
    names: list[str] = []
    for path in files:
        left = None if limit is None else limit - len(sources)
        if left == 0:
            break
        frame = _frame(path, left)
        image, label = _column(frame, _IMAGE, path), _column(frame, _LABEL, path)
        values = frame[label]
        if values.null_count() or not values.dtype.is_integer():
            raise DataError(
                f"The column {label!r} of {path.name} holds {values.dtype} with {values.null_count()} gaps: "
                "expected integers."
            )
        labels.append(torch.tensor(values.to_list(), dtype=torch.int64))
        names.extend(f"row {row} of {path.name}" for row in range(len(frame)))
        sources.extend(_bytes(frame[image], path))
    if not sources:
        raise DataError(f"{', '.join(path.name for path in files)} hold no rows: expected at least one image.")
    return Images(decode_all(sources, names.__getitem__), torch.cat(labels))


def _frame(path: Path, n_rows: int | None) -> polars.DataFrame:
    import polars

    try:
        known = polars.read_parquet_schema(path)
        columns = [name for name in known if name in _IMAGE + _LABEL]
        return polars.read_parquet(path, n_rows=n_rows, columns=columns or None)
    except (polars.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet ({str(error).splitlines()[0]}): copy it again.") from error


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
        features = json.loads(read(path)["huggingface"])["info"]["features"]
        names = next(features[name]["names"] for name in _LABEL if name in features)
    except (KeyError, ValueError, TypeError, StopIteration):  # metadata is optional, and free in form
        return None
    return [str(name) for name in names]
