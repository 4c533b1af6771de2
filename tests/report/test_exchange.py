"""Frames for pandas, xarray and datasets: the same numbers at the same places."""

import math

import pytest
from synthetic import make_records

import modelstitch as ms
from modelstitch.errors import MissingExtraError

RESULTS = ms.Results(make_records(("a", "b"), controls=("pair", "self")), {})


def test_pandas_has_the_same_frame():
    frame = RESULTS.to_pandas()
    assert list(frame.columns) == RESULTS.frame.columns
    assert frame["value"].tolist() == RESULTS.frame["value"].to_list()


def test_datasets_has_the_same_rows():
    rows = RESULTS.to_datasets()
    assert rows.column_names == RESULTS.frame.columns
    assert rows[3] == RESULTS.frame.row(3, named=True)


def test_xarray_has_every_value_at_its_place():
    found = RESULTS.to_xarray()
    dims = list(found["value"].dims)
    assert dims == ["bottom", "bottom_layer", "top", "top_layer", "family", "objective", "control", "seed", "metric"]
    filled = 0
    for row in RESULTS.frame.iter_rows(named=True):
        there = found.sel({dim: row[dim] for dim in dims})
        for name in ("value", "low", "high"):
            assert row[name] == there[name].item() or (row[name] is None and math.isnan(there[name].item()))
        filled += 1
    assert int(found["value"].notnull().sum()) == filled
    assert found.attrs["unit of penalty"] == "points"


@pytest.mark.parametrize(
    ("way", "package", "extra"),
    [("to_pandas", "pandas", "pandas"), ("to_xarray", "xarray", "xarray"), ("to_datasets", "datasets", "datasets")],
)
def test_a_missing_package_is_told(monkeypatch, way, package, extra):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"'{package}' cannot be imported.*'modelstitch\[{extra}\]'"):
        getattr(RESULTS, way)()
