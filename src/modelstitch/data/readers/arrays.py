"""Arrays of the user's own, of any task: a .npz file, a folder of .npy files, or a table of numbers."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import DataError, first_line
from ...support.memory import available_bytes, readable
from ..data import SPLITS, Data
from ..given import Arrays
from ..tasks import Retrieval, Task
from .image_tree import NAMES
from .source import parted, three
from .tables import SUFFIXES, whole_table

OPTIONS = ("inputs", "labels")
_INPUTS = ("inputs", "x", "X")
_LABELS = ("labels", "y", "Y", "targets", "target", "masks")
_AnyArray = NDArray[Any]


def load_arrays(spec: str, *, task: Task | None = None, seed: int = 0, limit: int | None = None) -> Data:
    """Samples of ``FILE.npz``, of a folder of .npy files, or of a table of numbers, with ``?inputs=NAME&labels=NAME``.

    Arrays are called ``inputs`` (or x) and ``labels`` (or y, targets, masks), the first axis counts samples. Those of
    splits are called ``train_inputs``, ``x_train``, ``test_labels`` and the like; without them one sample in five is
    held out to test, the same whatever the seed, and one in ten of the rest for validation. ``classes`` holds names;
    ``ids`` and ``label_ids`` are compared, where both are there; ``gallery`` and ``gallery_ids`` are what ``retrieval``
    searches. A folder's arrays are read from disk as they are needed.

    Args:
        spec: the place and its options; of several inputs, ``inputs=a,b``, columns of a table are one vector, arrays
            an input each.
        task: what labels mean; one that needs none takes inputs alone.
        seed: draws the validation samples.
        limit: at most so many samples to fit on, and to test on.

    Raises:
        DataError: if the place cannot be read, an array is missing, holds anything but numbers, or has another length.
    """
    place, options = parted(spec, OPTIONS, "arrays")
    path = Path(place)
    table = path.suffix in SUFFIXES
    found = _table(path) if table else _folder(path) if path.is_dir() else _archive(path)
    source = _NamedArrays(path.name, found, options, table, task)
    splits, rule = source.splits(seed, limit)
    return Data(
        *(splits[split] for split in SPLITS),
        name=path.stem + (f"[limit {limit}]" if limit is not None else ""),
        classes=source.classes,
        task=source.searched(task),
        split_rule=rule,
    )


class Stored:
    """Inputs and labels of more than one axis on disk, read batch by batch: memory does not grow with the data."""

    def __init__(self, inputs: Any, labels: _AnyArray, where: str) -> None:
        self.inputs = Arrays(inputs, torch.zeros(_length(inputs)), None, where)
        if len(labels) != len(self.inputs):
            raise DataError(
                f"{where} has {len(self.inputs):,} inputs and {len(labels):,} labels: expected one label for each "
                "input."
            )
        self._labels = labels

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.inputs[index][0], torch.from_numpy(np.array(self._labels[index]))

    def batch(self, ids: torch.Tensor) -> tuple[Any, torch.Tensor]:
        """The samples ``ids`` (n,) at once."""
        return self.inputs.batch(ids)[0], torch.from_numpy(np.array(self._labels[ids.numpy()]))


def _length(inputs: Any) -> int:
    return len(next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs)


class _NamedArrays:
    """The arrays of a place by name, and which of them are inputs and labels."""

    def __init__(
        self, name: str, arrays: Mapping[str, _AnyArray], options: Mapping[str, str], table: bool, task: Task | None
    ) -> None:
        self.name, self._arrays, self._table, self._task = name, arrays, table, task
        self._labels = options["labels"].split(",") if "labels" in options else self._usual(_LABELS)
        if (task is None or task.needs_labels) and not self._labels:
            raise self._missing("labels", _LABELS)
        if "inputs" in options:
            self._inputs = options["inputs"].split(",")
        else:
            self._inputs = self._usual(_INPUTS) or (self._others() if table else [])
        if not self._inputs:
            raise self._missing("inputs", _INPUTS)
        self.classes = [str(name) for name in arrays["classes"].tolist()] if "classes" in arrays else None

    def splits(self, seed: int, limit: int | None) -> tuple[dict[str, Any], str]:
        """The samples of each split, and how they were made."""
        given: dict[str, Arrays | Stored] = {split: part for split in SPLITS if (part := self._part(split)) is not None}
        if not given:
            whole = self._part("")
            assert whole is not None
            given["fit"] = whole
        return three(given, self.name, "arrays", seed=seed, limit=limit)

    def searched(self, task: Task | None) -> Task | None:
        """The task, with the gallery where the arrays hold one."""
        if not isinstance(task, Retrieval) or "gallery" not in self._arrays:
            return task
        if "gallery_ids" not in self._arrays:
            raise self._missing("ids of the gallery", ("gallery_ids",))
        return Retrieval.of(self._arrays["gallery"], torch.as_tensor(self._arrays["gallery_ids"]), k=task.k)

    def _need_all(self, split: str, arrays: Mapping[str, Any]) -> None:
        """Refuse a split of which one of the arrays is missing."""
        for name, value in arrays.items():
            if value is None:
                raise self._missing(f"array {name!r} {f'of the {split} split' if split else ''}".strip(), (name,))

    def _part(self, split: str) -> Arrays | Stored | None:
        """The samples of one split ("" of all); None where there are no arrays of it."""
        where = f"The {split} split of {self.name}" if split else self.name
        inputs = {name: self._named(name, split) for name in self._inputs}
        if all(value is None for value in inputs.values()):
            if split:
                return None
            raise self._missing("inputs", tuple(self._inputs))
        labels = {name: self._named(name, split) for name in self._labels}
        self._need_all(split, {**inputs, **labels})
        held = {name: _numbers(name, value, self.name) for name, value in inputs.items() if value is not None}
        joined = _joined(held, self.name) if self._table else held if len(held) > 1 else next(iter(held.values()))
        targets = self._targets(labels, len(next(iter(held.values()))), split)
        if isinstance(targets, np.memmap) and targets.ndim > 1:
            return Stored(joined, targets, where)
        if isinstance(targets, np.ndarray) and not targets.flags.writeable:  # a file's, or a table's
            targets = np.array(targets)
        return Arrays(joined, targets, self.classes, where)

    def _targets(self, labels: Mapping[str, _AnyArray | None], n: int, split: str) -> Any:
        given = {name: value for name, value in labels.items() if value is not None}
        if not given:
            return torch.zeros(n)
        self._check_ids(split)
        named = next(iter(given.values()))
        if len(given) == 1 and named.dtype.kind == "U" and (self._task is None or self._task.by_class):
            return self._numbered(named)
        kept = {name: _numbers(name, value, self.name) for name, value in given.items()}
        return _joined(kept, self.name) if len(kept) > 1 else next(iter(kept.values()))

    def _numbered(self, names: _AnyArray) -> Any:
        """Labels that are names; the classes are all names of all splits."""
        if self.classes is None:
            whole = [self._named(self._labels[0], split) for split in ("", *SPLITS)]
            self.classes = sorted({str(name) for part in whole if part is not None for name in part.tolist()})
        return names

    def _check_ids(self, split: str) -> None:
        """Refuse labels that are in another order than inputs, as far as ids tell."""
        ids, others = self._named("ids", split), self._named("label_ids", split)
        if ids is None or others is None:
            return
        if ids.shape != others.shape:
            raise DataError(f"{self.name} has {len(ids):,} ids and {len(others):,} label_ids: expected as many.")
        if bool((ids == others).all()):
            return
        row = int(np.flatnonzero(ids != others)[0])
        raise DataError(
            f"Inputs and labels of {self.name} are in different orders: row {row} is {str(ids[row])!r} in ids and "
            f"{str(others[row])!r} in label_ids; sort both by id and keep the ids that both have."
        )

    def _named(self, name: str, split: str) -> _AnyArray | None:
        """An array of a split: train_inputs or inputs_train."""
        words = NAMES[split] if split else ("",)
        keys = [key for word in words for key in ((f"{word}_{name}", f"{name}_{word}") if word else (name,))]
        return next((self._arrays[key] for key in keys if key in self._arrays), None)

    def _usual(self, names: Sequence[str]) -> list[str]:
        return next(([name] for name in names for split in ("", *SPLITS) if self._named(name, split) is not None), [])

    def _others(self) -> list[str]:
        """The columns of a table that are no labels, all of numbers."""
        return [name for name in self._arrays if name not in (*self._labels, "ids", "label_ids", "classes")]

    def _missing(self, what: str, names: Sequence[str]) -> DataError:
        held = ", ".join(list(self._arrays)[:8]) or "nothing"
        wanted = " or ".join(map(repr, names[:2]))
        kind = "column" if self._table else "array"
        return DataError(
            f"{self.name} has no {what}: expected a {kind} {wanted}, found {held}; name it behind the file, "
            "'?inputs=NAME&labels=NAME'."
        )


def _archive(path: Path) -> dict[str, _AnyArray]:
    """The arrays of a .npz file, in memory."""
    if path.suffix != ".npz":
        raise DataError(
            f"{str(path)!r} holds no arrays that are known: expected a .npz file, a folder of .npy files, or a table "
            f"({', '.join(SUFFIXES)})."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            size, free = sum(entry.file_size for entry in archive.infolist()), available_bytes()
        if free is not None and size > free:
            raise DataError(
                f"The arrays of {path.name} take {readable(size)}, and {readable(free)} are free: expected some that "
                "fit; save each with numpy.save as NAME.npy in a folder, which is read as it is needed."
            )
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{str(path)!r} cannot be read ({first_line(error)}): expected a .npz file of arrays of numbers, as "
            "numpy.savez writes it."
        ) from error


def _folder(path: Path) -> dict[str, _AnyArray]:
    """The .npy files of a folder, each left on disk."""
    found: dict[str, _AnyArray] = {}
    for file in sorted(path.glob("*.npy")):
        try:
            found[file.stem] = np.lib.format.open_memmap(file, mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise DataError(
                f"{str(file)!r} cannot be read ({first_line(error)}): expected numbers, as numpy.save writes them."
            ) from error
    if not found:
        there = ", ".join(sorted(file.name for file in path.iterdir())[:5]) or "nothing"
        raise DataError(
            f"The folder {str(path)!r} has no .npy files: found {there}; save arrays as inputs.npy, labels.npy."
        )
    return found


def _table(path: Path) -> dict[str, _AnyArray]:
    """The columns of a table; a column of lists is an array of two axes."""
    import polars

    frame, found = whole_table(path), {}
    for name in frame.columns:
        column = frame[name]
        if column.null_count():
            raise DataError(
                f"The column {name!r} of {path.name} has {column.null_count():,} gaps: expected a value in each row; "
                "fill them, or leave out such rows."
            )
        if isinstance(column.dtype, polars.List):
            widths = column.list.len()
            if widths.n_unique() > 1:
                raise DataError(
                    f"The lists of column {name!r} of {path.name} have {widths.min()!r} to {widths.max()!r} numbers: "
                    "expected as many in each row."
                )
            column = column.list.to_array(int(widths[0])) if len(column) else column
        found[name] = np.asarray(column.to_list()) if column.dtype == polars.String else column.to_numpy()
    return found


def _numbers(name: str, array: _AnyArray, where: str) -> _AnyArray:
    """An array of numbers that counts samples.

    Raises:
        DataError: it holds something else.
    """
    if array.ndim == 0 or array.dtype.kind not in "biuf":
        found = f"one {array.dtype}" if array.ndim == 0 else f"{array.dtype}"
        raise DataError(
            f"The array {name!r} of {where} holds {found}: expected numbers, the first axis counting samples; convert "
            "it, or choose others with '?inputs=NAME&labels=NAME'."
        )
    return array


def _joined(columns: Mapping[str, _AnyArray], where: str) -> _AnyArray:
    """Columns side by side, (n, columns); one that has two axes stays."""
    values = list(columns.values())
    if len(values) == 1 and values[0].ndim > 1:
        return values[0]
    flat = [value[:, None] if value.ndim == 1 else value for value in values]
    if len({len(value) for value in flat}) > 1 or any(value.ndim != 2 for value in flat):
        found = ", ".join(f"{name} {value.shape}" for name, value in columns.items())
        raise DataError(f"The columns of {where} do not stand side by side ({found}): expected numbers of one length.")
    whole = np.concatenate(flat, axis=1)
    return whole.astype(np.float32) if whole.dtype == np.float64 else whole
