"""What is given as a split, as a map-style dataset of pairs.

Arrays, dicts of columns, samples that are dicts, loaders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    SequentialSampler,
    Subset,
    default_collate,
)

from ..errors import DataError, first_line
from ..support.device import parts
from .batch import shared
from .labels import as_labels
from .pairs import Keys, keys_of, pair_of
from .readers.hub import HubRows, is_hub_set
from .subsets import Held, Picked


class Arrays(Held):
    """Inputs and labels of a whole split; inputs are a tensor or array (n, ...), or a dict or tuple of such.

    float64 arrays of numpy become torch's default type, in which networks compute.
    """

    def __init__(self, inputs: Any, labels: Any, classes: Sequence[str] | None, where: str) -> None:
        super().__init__(_columns(inputs, where), as_labels(_plain(labels), classes))
        counts = {len(part) if part.ndim else 0 for part in parts(self.inputs)}
        if counts != {len(self.labels)}:
            found = " and ".join(f"{n:,}" for n in sorted(counts))
            raise DataError(
                f"{where} has {found} inputs and {len(self.labels):,} labels: expected one label for each input."
            )

    def shares(self, other: Arrays) -> bool:
        """Whether the two hold some of the same memory, as overlapping slices of one array do."""
        return any(_overlap(_memory(one), _memory(two)) for one in parts(self.inputs) for two in parts(other.inputs))


class Keyed:
    """The pairs of a dataset of dicts, by the keys that are named."""

    def __init__(self, dataset: Any, input_key: Keys | None, label_key: str | None) -> None:
        self.dataset, self._keys = dataset, (input_key, label_key)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return pair_of(self.dataset[index], *self._keys)


def as_dataset(
    given: Any, where: str, *, input_key: Keys | None, label_key: str | None, classes: Sequence[str] | None
) -> Any:
    """A map-style dataset of pairs, of whatever a user gives as a split; itself where it is one.

    Args:
        given: a dataset, a loader, (inputs, labels), or a dict of columns.
        where: how a message calls it.
        input_key, label_key: of samples that are dicts, see ``pairs.pair_of``.
        classes: the names of the classes, where labels may be names.

    Raises:
        DataError: with what was found, and what to write instead.
    """
    options = {"input_key": input_key, "label_key": label_key, "classes": classes}
    if isinstance(given, str | Path):
        raise DataError(
            f"{where} is {str(given)!r:.80}: expected samples; all three splits of a folder or file come from "
            "load_data('folder:...') or the like."
        )
    if isinstance(given, DataLoader):
        return as_dataset(_of_loader(given, where), where, **options)  # type: ignore[arg-type]
    if is_hub_set(given):
        return HubRows(given, where, input_key, label_key, classes)
    if isinstance(given, Mapping):
        return _of_columns(given, where, input_key, label_key, classes)
    if _is_arrays(given):
        return Arrays(given[0], given[1], classes, where)
    _refuse_others(given, where)
    if isinstance(given, Subset):
        inner = as_dataset(given.dataset, where, **options)  # type: ignore[arg-type]
        if inner is given.dataset:
            return given
        return Picked(inner, torch.as_tensor([int(i) for i in given.indices]))
    if input_key is not None or label_key is not None:
        return Keyed(given, input_key, label_key)
    return given


def splits_of(
    given: dict[str, Any],
    name: str,
    *,
    input_key: Keys | None,
    label_key: str | None,
    classes: Sequence[str] | None,
    labelled: bool,
) -> dict[str, Any]:
    """What is given as the splits of data, as map-style datasets of pairs that share no sample.

    Args:
        given: the splits by name.
        name: of the data, in messages.
        input_key, label_key, classes: as for ``as_dataset``.
        labelled: False where no label is looked at: inputs may come alone.

    Raises:
        DataError: a split is empty or no dataset, or two have samples in common.
    """
    if not labelled:
        given = {split: _unlabelled(dataset) for split, dataset in given.items()}
    found = {
        split: as_dataset(
            dataset, f"The {split} split of {name}", input_key=input_key, label_key=label_key, classes=classes
        )
        for split, dataset in given.items()
    }
    for split, dataset in found.items():
        if len(dataset) == 0:
            raise DataError(f"The {split} split of {name} is empty: expected at least one sample.")
    for one, other in combinations(found, 2):
        both = shared(given[one], given[other]) or shared(found[one], found[other])
        arrays = [found[split] for split in (one, other) if isinstance(found[split], Arrays)]
        if both or (len(arrays) == 2 and arrays[0].shares(arrays[1])):
            raise DataError(
                f"The {one} and the {other} split of {name} have {f'{both:,}' if both else 'some'} samples in common: "
                "expected disjoint splits; hold samples out, for example with torch.utils.data.random_split."
            )
    return found


def _unlabelled(given: Any) -> Any:
    """Inputs alone with a label that nobody looks at; anything else as it is."""
    return (given, torch.zeros(len(given))) if isinstance(given, Tensor | np.ndarray) else given


def _refuse_others(given: Any, where: str) -> None:
    """Refuse what is no map-style dataset.

    Raises:
        DataError: with what to write instead.
    """
    if hasattr(given, "to_numpy") and hasattr(given, "columns"):
        raise DataError(
            f"{where} is a table ({type(given).__name__}): expected inputs and labels; give "
            "(table[inputs].to_numpy(), table[label].to_numpy()), with the names of the columns."
        )
    if isinstance(given, tuple) and len(given) == 2 and _is_column(given[0]) and not _is_column(given[1]):
        raise DataError(
            f"{where} has labels of type {type(given[1]).__name__}: expected an array, or a list of numbers, one label "
            "for each input."
        )
    if isinstance(given, tuple) and given and all(_is_column(part) for part in given):
        raise DataError(
            f"{where} is a tuple of {len(given)} arrays: expected two, (inputs, labels); several inputs are a dict, "
            "({'a': a, 'b': b}, labels)."
        )
    if isinstance(given, IterableDataset) or not (hasattr(given, "__len__") and hasattr(given, "__getitem__")):
        raise DataError(
            f"{where} is of type {type(given).__name__}: expected a map-style dataset, with len() and [i]; read "
            f"what it iterates "
            "over into a list, list(dataset) (of a streamed set of the hub load it without streaming=True)."
        )


def _of_loader(loader: DataLoader[Any], where: str) -> Any:
    """The dataset of a loader that gives all its samples in order, as they are.

    Raises:
        DataError: naming what the loader does beside that.
    """
    batches = loader.batch_sampler
    dataset: Any = loader.dataset
    if isinstance(dataset, IterableDataset):
        return dataset
    size = loader.batch_size
    if loader.collate_fn is not default_collate:
        does = "has a collate_fn of its own" if size is not None else "makes no batches"
    elif type(batches) is not BatchSampler:
        does = "has a batch sampler of its own"
    elif type(batches.sampler) is not SequentialSampler:
        does = f"draws its samples with a {type(batches.sampler).__name__}"
    elif loader.drop_last and size and len(dataset) % size:
        does = f"leaves out the last {len(dataset) % size} of {len(dataset)} samples (drop_last)"
    else:
        return dataset
    raise DataError(
        f"{where} is a DataLoader that {does}: expected one that gives all samples in order, or a dataset; pass its "
        f".dataset (a "
        "Subset(dataset, indices) of it), which is batched here, and let the dataset do what the loader does."
    )


def _of_columns(
    given: Mapping[str, Any], where: str, input_key: Keys | None, label_key: str | None, classes: Sequence[str] | None
) -> Arrays:
    if not given or not all(_is_column(part) or isinstance(part, list) for part in given.values()):
        names = ", ".join(repr(key) for key in list(given)[:5])
        raise DataError(
            f"{where} is a {type(given).__name__} with the keys {names}: expected one split; pass one of its values, "
            f"such as [{next(iter(given), 'train')!r}]."
        )
    inputs, label = keys_of(given, input_key, label_key)
    found = given[inputs] if isinstance(inputs, str) else {key: given[key] for key in inputs}
    return Arrays(found, given[label], classes, where)


def _is_arrays(given: Any) -> bool:
    """Whether it is (inputs, labels) of a whole split; a list only where both are arrays of one length."""
    if not isinstance(given, tuple | list) or len(given) != 2:
        return False
    inputs, labels = given
    if _is_column(labels) and _is_column(inputs):
        return len(inputs) == len(labels) or isinstance(given, tuple)
    listed = isinstance(labels, list) and all(isinstance(v, int | np.integer | str) for v in labels)
    inner = inputs.values() if isinstance(inputs, Mapping) else [inputs]
    whole = all(_is_column(part) or isinstance(part, list) for part in inner)
    listed |= isinstance(labels, list) and all(map(_is_column, inner))  # of whatever: no sample is an array alone
    return isinstance(given, tuple) and (listed or _is_column(labels)) and whole


def _is_column(value: Any) -> bool:
    return (isinstance(value, Tensor | np.ndarray) and value.ndim > 0) or hasattr(value, "to_numpy")


def _plain(value: Any) -> Any:
    """An array of a table's column, in the machine's byte order."""
    if not isinstance(value, Tensor) and hasattr(value, "to_numpy"):
        value = value.to_numpy()
    if isinstance(value, np.ndarray) and not value.dtype.isnative:
        value = value.astype(value.dtype.newbyteorder("="))
    return value


def _columns(inputs: Any, where: str) -> Any:
    if isinstance(inputs, Mapping):
        return {key: _column(value, f"{where}, in its {key!r},") for key, value in inputs.items()}
    if isinstance(inputs, tuple):
        return tuple(_column(value, where) for value in inputs)
    return _column(inputs, where)


def _column(value: Any, where: str) -> Tensor | np.ndarray[Any, Any]:
    value = _plain(value)
    try:
        if isinstance(value, list):
            value = torch.stack(value) if value and isinstance(value[0], Tensor) else np.asarray(value)
        if isinstance(value, np.ndarray):
            torch.from_numpy(np.zeros(1, value.dtype))  # whether torch knows the type
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{where} has inputs that make no tensor ({first_line(error)}): expected numbers of one shape for all "
            "samples."
        ) from error
    return value  # type: ignore[no-any-return]


def _memory(part: Tensor | np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    if isinstance(part, Tensor):
        part = part.detach()
        return (
            part.numpy()
            if part.device.type == "cpu" and part.layout == torch.strided and part.dtype != torch.bfloat16
            else None
        )
    return part


def _overlap(one: np.ndarray[Any, Any] | None, two: np.ndarray[Any, Any] | None) -> bool:
    if one is None or two is None:
        return False
    try:
        return bool(np.shares_memory(one, two, max_work=1000))  # type: ignore[arg-type]
    except Exception:  # too hard to tell
        return False
