"""What may be aligned: rows, weights, families and numbers of samples, each refused in one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ArrayError
from ..stitchers.base import Site
from ..stitchers.families import family_of
from ..stitchers.mlp import MLP
from ..support.kinds import as_found
from ..support.words import counted
from .given import Vectors, vectors
from .hidden import FEWEST

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


def need(family: str, p: int, q: int, rows: int) -> None:
    """Refuse a family that has no member for these widths, or needs more rows.

    Raises:
        StitchError: saying what is needed.
    """
    cls, options = family_of(family)
    if not cls.closed and not issubclass(cls, MLP):
        raise ArrayError(
            f"The family {family!r} is fitted through a network: expected one that is solved from sums, such as "
            "'affine', 'orthogonal' or 'low-rank:64', or 'mlp'."
        )
    cls.check_site(Site(p, q, "vector"), **options)
    least = FEWEST if issubclass(cls, MLP) else cls.fewest(**options)
    if rows < least:
        raise ArrayError(
            f"{counted(rows, 'sample')} cannot be aligned by the family {family!r}: expected at least {least:,} pairs "
            "of embeddings."
        )
