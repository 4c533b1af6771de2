"""Whatever holds embeddings, as vectors that are read block by block: arrays, tensors, ``.npy`` and Parquet files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ArrayError, first_line
from ..support import tables
from ..support.kinds import as_found

if TYPE_CHECKING:
    import polars


_BLOCK = 1 << 24  # bytes of one side of a block: memory of that size is used again, larger is mapped anew each time
_IDS = ("id", "ids", "_id")


@dataclass(frozen=True)
class Vectors:
    """Rows of an array, some or all, that may lie on the disk.

    Attributes:
        values: shape (rows, width).
        name: in the sentence of an error.
        at: the rows that count, ascending; all by default.
        ids: of each row of ``values``, where they are known.
    """

    values: NDArray[Any]
    name: str = "the array"
    at: NDArray[np.int64] | None = None
    ids: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.values) if self.at is None else len(self.at)

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.values.shape[1])

    def only(self, at: NDArray[np.int64]) -> Vectors:
        """Some of these rows, by their places in ``values``."""
        return Vectors(self.values, self.name, np.sort(at), self.ids)

    def slices(self) -> Iterator[slice]:
        """Places of rows that are read at once."""
        step = max(1, _BLOCK // max(1, self.width * 4))
        for start in range(0, len(self), step):
            yield slice(start, min(start + step, len(self)))

    def block(self, place: slice) -> NDArray[Any]:
        """Some rows in memory, float32 or float64: half precision and whole numbers are widened."""
        found = self.values[place] if self.at is None else self.values[self.at[place]]
        return np.asarray(found, dtype=_wide(found.dtype))

    def all(self) -> NDArray[Any]:
        """Every row in memory."""
        return self.block(slice(0, len(self)))

    def first_not_finite(self) -> tuple[int, int] | None:
        """Row and column of the first NaN or infinity, as they stand in ``values``."""
        for place in self.slices():
            bad = np.argwhere(~np.isfinite(self.block(place)))
            if len(bad):
                row = place.start + int(bad[0, 0])
                return (row if self.at is None else int(self.at[row])), int(bad[0, 1])
        return None

    def varies(self) -> bool:
        """Whether any column has two values."""
        first = self.block(slice(0, 1))
        return any(bool((self.block(place) != first).any()) for place in self.slices())


def vectors(given: Any, name: str, ids: Any = None) -> Vectors:
    """Read what a user gives, without copying what lies on the disk.

    Args:
        given: an array (n, width), a tensor, or the path of a ``.npy`` or Parquet file.
        name: what a sentence calls it, such as "the old embeddings".
        ids: of each row, or the path of a ``.npy`` file of them; a Parquet file's own column of ids is taken where it
            has one.

    Returns:
        The rows.

    Raises:
        ArrayError: it is no matrix of floating-point numbers, or cannot be read.
    """
    if isinstance(given, Vectors):
        return given
    if isinstance(given, str | Path):
        name = f"{name} ({Path(given).name})"
        values, own = _from_file(Path(given), name)
        ids = own if ids is None else ids
    else:
        values = _from_memory(given, name)
    if values.dtype == object:
        raise ArrayError(f"{_big(name)} must be a matrix of numbers, a row for each sample: found {as_found(given)}.")
    if values.ndim != 2 or 0 in values.shape:
        raise ArrayError(
            f"{_big(name)} must be a matrix, a row for each sample: found shape {values.shape}; reshape or reload it."
        )
    if not np.issubdtype(values.dtype, np.floating):
        whole = "; if they are scaled whole numbers, turn them back into float32 first"
        raise ArrayError(
            f"{_big(name)} must hold floating-point numbers: found {values.dtype}"
            f"{whole if np.issubdtype(values.dtype, np.integer) else ''}."
        )
    return Vectors(values, name, ids=None if ids is None else _ids(ids, len(values), name))


def paired(old: Vectors, new: Vectors) -> None:
    """Refuse two arrays whose rows are not of the same samples.

    Raises:
        ArrayError: unlike length, or ids that differ.
    """
    if len(old) != len(new):
        raise ArrayError(
            f"Both arrays must hold the same samples, row by row: found {len(old):,} rows in {old.name} and "
            f"{len(new):,} in {new.name}; keep the samples that both have, in one order."
        )
    if old.ids is None or new.ids is None:
        return
    unlike = np.flatnonzero(old.ids != new.ids)
    if len(unlike):
        row = int(unlike[0])
        how = "in another order" if len(np.setdiff1d(old.ids, new.ids)) == 0 else "of other samples"
        raise ArrayError(
            f"The rows of both arrays are {how}: row {row} is '{old.ids[row]}' in {old.name} and "
            f"'{new.ids[row]}' in {new.name}; sort both by id and keep the ids that both have."
        )


def uncompared(old: Vectors, new: Vectors) -> list[str]:
    """What is to be known where one side alone has ids, in a sentence."""
    if (old.ids is None) == (new.ids is None):
        return []
    known, other = (new, old) if old.ids is None else (old, new)
    return [
        f"{_big(known.name)} have ids and {other.name} have none: that their rows are in one order was not checked."
    ]


def _from_memory(given: Any, name: str) -> NDArray[Any]:
    if hasattr(given, "detach"):  # a tensor; bfloat16 is unknown to numpy
        tensor = given.detach().cpu()
        return np.asarray(tensor.float().numpy() if str(tensor.dtype) == "torch.bfloat16" else tensor.numpy())
    if isinstance(given, np.ndarray):
        return given
    try:
        return np.asarray(given)
    except (TypeError, ValueError) as error:
        raise ArrayError(
            f"{_big(name)} cannot be read as an array ({first_line(error)}): expected an array, a tensor or a path."
        ) from error


def _from_file(path: Path, name: str) -> tuple[NDArray[Any], Any]:
    if path.suffix == ".npy":
        return _mapped(path, name, "numbers"), None
    if path.suffix == ".parquet":
        try:
            return _columns(tables.read(path, "parquet"), name)
        except (OSError, tables.UnreadableError) as error:
            raise ArrayError(f"{_big(name)} cannot be read as Parquet ({first_line(error)}): copy it again.") from error
    raise ArrayError(f"{_big(name)} cannot be read: expected a .npy or .parquet file, found '{path.suffix}'.")


def _mapped(path: Path, name: str, of: str) -> NDArray[Any]:
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise ArrayError(
            f"{_big(name)} cannot be read ({first_line(error)}): expected a .npy file of {of}, as numpy.save writes it."
        ) from error


def _columns(frame: polars.DataFrame, name: str) -> tuple[NDArray[Any], Any]:
    """One column of lists of equal length, or columns of numbers; beside them a column of ids."""
    import polars

    ids = next((column for column in _IDS if column in frame.columns), None)
    others = [column for column in frame.columns if column != ids]
    lists = [c for c in others if isinstance(frame[c].dtype, polars.List | polars.Array)]
    numbers = [c for c in others if frame[c].dtype.is_float()]
    if len(lists) == 1:
        values = _lists(frame[lists[0]], name)
    elif numbers and not lists:
        values = frame.select(numbers).to_numpy()
    else:
        raise ArrayError(
            f"{_big(name)} must have one column of lists of numbers, or columns of floating-point numbers: found "
            f"{', '.join(frame.columns)}."
        )
    return values, None if ids is None else frame[ids].to_numpy()


def _lists(column: polars.Series, name: str) -> NDArray[Any]:
    """A column of lists as a matrix; refused where they are of several lengths, or no numbers."""
    import polars

    widths = column.list.len() if isinstance(column.dtype, polars.List) else column.arr.len()
    inner = column.explode()
    if column.null_count() or widths.n_unique() > 1 or not inner.dtype.is_float() or inner.null_count():
        raise ArrayError(
            f"{_big(name)} must hold lists of as many floating-point numbers: found {column.dtype} of "
            f"{widths.min()!r} to {widths.max()!r} in column '{column.name}', {inner.null_count()} of them missing."
        )
    return inner.to_numpy().reshape(len(column), -1)


def _ids(given: Any, rows: int, name: str) -> NDArray[Any]:
    if isinstance(given, Path):
        given = _mapped(given, f"the ids {given}", "numbers or texts").reshape(-1)
    if not isinstance(given, Iterable):
        raise ArrayError(f"{_big(name)} have no ids: expected a list of one for each row, found {as_found(given)}.")
    ids = np.asarray(given if isinstance(given, np.ndarray) else list(given))
    if ids.shape != (rows,):
        raise ArrayError(f"{_big(name)} have {rows:,} rows: expected as many ids, found {len(ids):,}.")
    names, counts = np.unique(ids, return_counts=True)
    if len(names) < rows:
        raise ArrayError(
            f"{_big(name)} have {rows - len(names):,} ids twice, first '{names[counts > 1][0]}': expected one row "
            "for each."
        )
    return ids


def _wide(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.float32) if dtype in (np.float16, np.float32) else np.dtype(np.float64)


def _big(name: str) -> str:
    return name[:1].upper() + name[1:]


def blocks_of(*sides: Vectors, weights: Sequence[float] | NDArray[Any] | None = None) -> Iterator[tuple[Any, ...]]:
    """Blocks of rows of all sides, and of their weights: None where there are none."""
    widest = max(sides, key=lambda side: side.width)
    for place in widest.slices():
        yield (*(side.block(place) for side in sides), None if weights is None else np.asarray(weights)[place])


FLOATS = (np.float32, np.float64)


def quick(X: Any, name: str) -> Vectors | None:
    """Rows that need no look at every number here, since the sums will show what is not finite."""
    usual = isinstance(X, np.ndarray) and X.ndim == 2 and 0 not in X.shape and np.issubdtype(X.dtype, np.floating)
    return Vectors(X, name) if usual else None


def array(given: Any, name: str, *, column: bool = False) -> Vectors:
    """Rows of the new side; with ``column``, values without a second axis are one."""
    from sklearn.utils import check_array

    if isinstance(given, Vectors):
        return given
    rows = quick(given, name)
    if rows is not None:
        return rows
    try:
        if hasattr(given, "detach"):
            return vectors(given, name)
        values = check_array(given, dtype=list(FLOATS), ensure_2d=not column)
    except ValueError as error:
        raise told(error) from error
    return Vectors(values.reshape(-1, 1) if values.ndim == 1 else values, name)


def told(error: ValueError) -> ArrayError:
    """What scikit-learn says of an input, on one line."""
    return error if isinstance(error, ArrayError) else ArrayError(" ".join(str(error).split()))


def weights_of(given: ArrayLike | None, rows: int) -> NDArray[np.float64] | None:
    """Weights of the rows.

    Raises:
        ArrayError: they are no numbers, of another length, negative, not finite, or all 0.
    """
    if given is None:
        return None
    try:
        found = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ArrayError(f"The weights must be numbers of zero or more: found {as_found(given)}.") from error
    if found.shape != (rows,):
        raise ArrayError(f"The weights must be a number for each of {rows:,} rows: found shape {found.shape}.")
    if not (np.isfinite(found).all() and (found >= 0).all() and found.any()):
        raise ArrayError("The weights must be finite numbers of zero or more, but not zero all: found others.")
    return found
