"""Sets of the library ``datasets``.

Their rows as pairs, their images by the one decoder, their labels without reading images.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from ...errors import DataError, first_line
from ..labels import as_labels
from ..pairs import Keys, keys_of, pair_of
from .decode import OWN_SIZE, ImageKind, ImageOptions, Source, decode_all, kind_of

_CHUNK = 512


def is_hub_set(given: Any) -> bool:
    """Whether it is a set of that library, told by its form: the library itself is not needed."""
    return hasattr(given, "__len__") and all(
        hasattr(given, name) for name in ("features", "column_names", "with_format", "cast_column", "select_columns")
    )


class HubRows:
    """The rows of a set as pairs.

    A column of images is decoded here, whatever the set's format; a set with a transform of its own is read as that
    gives it.

    Args:
        rows: the set.
        where: how a message calls it.
        input_key, label_key: its columns; those of an image and of class labels, else as in ``pairs.pair_of``.
        classes: names that labels may be.
    """

    def __init__(
        self, rows: Any, where: str, input_key: Keys | None, label_key: str | None, classes: Sequence[str] | None
    ) -> None:
        self.where, self.kind = where, ImageKind(False, False)
        self.names: tuple[str, ...] | None = None
        self.labels: Tensor | None = None
        self._asked, self._encoded, self._rows = ImageOptions(OWN_SIZE), False, rows
        self._keys: tuple[Keys | None, str | None] = (input_key, label_key)
        if rows.format["type"] == "custom":
            return
        features, columns = rows.features, list(rows.column_names)
        label_key = label_key or _only(features, "ClassLabel")
        input_key = input_key or _only(features, "Image")
        inputs, label = keys_of(_Shape(columns, features), input_key, label_key)
        self._keys = inputs, label
        if type(features[label]).__name__ == "ClassLabel":
            self.names = tuple(map(str, features[label].names))
        if len(rows):
            self.labels = as_labels(rows.with_format(None).select_columns([label])[:][label], classes)
        self._rows = rows.select_columns([*([inputs] if isinstance(inputs, str) else inputs), label])
        if isinstance(inputs, str) and type(features[inputs]).__name__ == "Image":
            self._encoded = True
            self._rows = self._rows.with_format(None).cast_column(inputs, type(features[inputs])(decode=False))
        elif rows.format["type"] is None:
            self._rows = self._rows.with_format("torch")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if not self._encoded:
            inputs, label = pair_of(self._rows[int(index)], *self._keys)
            return inputs, label if self.labels is None else self.labels[index]
        inputs, labels = self.batch(torch.tensor([int(index)]))
        return inputs[0], labels[0]

    def batch(self, ids: Tensor) -> tuple[Any, Tensor]:
        """The samples ``ids`` (n,) at once."""
        if self._encoded:
            assert self.labels is not None
            sources = self._sources(ids.tolist())
            return decode_all(sources, lambda i: self._name(int(ids[i])), self.kind, self._asked), self.labels[ids]
        try:
            inputs, labels = default_collate([self[int(i)] for i in ids])
        except (TypeError, RuntimeError) as error:
            raise DataError(
                f"The rows {int(ids[0])} to {int(ids[-1])} of {self.where} cannot be stacked "
                f"({first_line(error)}): expected numbers of one shape; resize or pad them with set.map()."
            ) from error
        return inputs, as_labels(labels)

    def look(self) -> list[ImageKind]:
        """What kinds of images there are; none where there is no column of them."""
        if not self._encoded:
            return []
        kinds = []
        for start in range(0, len(self), _CHUNK):
            ids = range(start, min(start + _CHUNK, len(self)))

            def name(at: int, ids: range = ids) -> str:
                return self._name(ids[at])

            kinds.append(kind_of(self._sources(ids), name, self._asked))
        return kinds

    def _sources(self, ids: Iterable[int]) -> list[Source]:
        found = self._rows[list(ids)][self._keys[0]]
        return [row["bytes"] if row["bytes"] is not None else row["path"] and Path(row["path"]) for row in found]

    def _name(self, index: int) -> str:
        return f"row {index} of {self.where[0].lower()}{self.where[1:]}"


def settle(splits: Iterable[Any]) -> tuple[str, ...] | None:
    """Let the images of all splits decide together what they become; the names of the classes, where the sets tell.

    Raises:
        DataError: if the splits number their classes differently.
    """
    rows = [split for split in splits if isinstance(split, HubRows)]
    if not rows:
        return None
    kinds = [kind for one in rows for kind in one.look()]
    if kinds:
        kind = ImageKind.joined(kinds, ImageOptions())
        for one in rows:
            one.kind = kind
    names = {one.names for one in rows if one.names is not None}
    if len(names) > 1:
        first, second = sorted(names)[:2]
        differ = next((i for i, (a, b) in enumerate(zip(first, second)) if a != b), min(len(first), len(second)))
        raise DataError(
            f"The splits number their classes differently ({len(first)} and {len(second)} names, unlike from {differ} "
            "on): expected one order; cast the label column of all to one ClassLabel."
        )
    return names.pop() if names else None


def _only(features: Any, kind: str) -> str | None:
    """The one column of a kind; None where there are none, or several."""
    found = [name for name in features if type(features[name]).__name__ == kind]
    return found[0] if len(found) == 1 else None


class _Shape(dict[str, Any]):
    """The columns as a sample, with a stand-in where one is text, so that it is not taken for an input unasked."""

    def __init__(self, columns: Sequence[str], features: Any) -> None:
        super().__init__({name: "" if getattr(features[name], "dtype", "") == "string" else 0 for name in columns})
