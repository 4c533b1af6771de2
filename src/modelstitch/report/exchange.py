"""Frames for other libraries: pandas, xarray, datasets. Each is optional, and said so in one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import MeasureError
from ..support.optional import need

if TYPE_CHECKING:
    import polars as pl

STITCHES = ("bottom", "bottom_layer", "top", "top_layer", "family", "objective", "control", "seed", "samples", "metric")
SIMILARITIES = ("bottom", "bottom_layer", "top", "top_layer", "measure")
_MOST = 50_000_000  # numbers of an array that is mostly empty


def to_pandas(frame: pl.DataFrame) -> Any:
    """The frame as one of pandas.

    Raises:
        MissingExtraError: pandas or pyarrow is missing.
    """
    need("pandas")
    need("pyarrow")
    return frame.to_pandas()


def to_datasets(frame: pl.DataFrame) -> Any:
    """The frame as a ``datasets.Dataset``.

    Raises:
        MissingExtraError: the package datasets is missing.
    """
    return need("datasets").Dataset.from_dict(frame.to_dict(as_series=False))


def to_xarray(frame: pl.DataFrame, dims: Sequence[str]) -> Any:
    """The numbers of a tidy frame as a ``xarray.Dataset`` over these dimensions; NaN where there is no row.

    Args:
        frame: one value a row.
        dims: columns that tell rows apart. All other columns of numbers are variables; "samples" is a dimension only
            where several numbers of samples are there.

    Raises:
        MissingExtraError: xarray is missing.
        MeasureError: the dimensions do not tell rows apart, or the array would be too large.
    """
    import numpy as np
    import polars as pl

    xarray = need("xarray")
    dims = [dim for dim in dims if dim != "samples" or frame["samples"].n_unique() > 1]
    values = {dim: frame[dim].unique(maintain_order=True).drop_nulls().to_list() for dim in dims}
    shape = tuple(len(found) for found in values.values())
    _check_array(frame, dims, shape)
    places = tuple(
        frame[dim].replace_strict(found, list(range(len(found))), return_dtype=pl.Int64).to_numpy()
        for dim, found in values.items()
    )
    variables = {}
    for name, kind in frame.schema.items():
        if name not in dims and kind == pl.Float64 and not name.endswith("_depth"):
            array = np.full(shape, np.nan)
            array[places] = frame[name].to_numpy()
            variables[name] = (tuple(dims), array)
    rows = frame.select("metric", "unit").unique(maintain_order=True).iter_rows() if "unit" in frame.columns else ()
    units = {f"unit of {metric}": unit or "" for metric, unit in rows}
    return xarray.Dataset(variables, coords=values, attrs=units)


def _check_array(frame: pl.DataFrame, dims: Sequence[str], shape: tuple[int, ...]) -> None:
    """Refuse an array that is too large, or several values for one place of it."""
    if math.prod(shape) > _MOST:
        raise MeasureError(
            f"An array of {' x '.join(map(str, shape))} is too large: expected {_MOST:,} numbers at most; use frame."
        )
    if frame.select(dims).is_duplicated().any():
        raise MeasureError(f"{', '.join(dims)} do not tell all values apart: expected one value for each; use frame.")
