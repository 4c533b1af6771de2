"""Similarities as plain rows: their notes, and the file that keeps them."""

import polars as pl
import pytest

from modelstitch.errors import StudyError
from modelstitch.report.similarities import SCHEMA, frame, from_table, is_similarities, notes, placed, write_parquet


def row(value=0.5, note="", measure="cka"):
    plain = dict.fromkeys(SCHEMA)
    return {
        **plain,
        "bottom": "a",
        "top": "b",
        "bottom_layer": "x",
        "top_layer": "y",
        "measure": measure,
        "kind": "similarity",
        "value": value,
        "n": 100,
        "note": note,
    }


def test_a_frame_has_its_columns_even_when_it_is_empty():
    assert frame([]).schema == pl.Schema(SCHEMA)
    found = placed(frame([row()]))
    assert found["control"].to_list() == ["pair"]
    assert found["metric"].to_list() == ["cka"]


def test_a_few_notes_of_each_measure():
    rows = [row(None, f"cca fails at {i}", "cca") for i in range(5)] + [
        row(),
        row(None, "cka fails"),
        row(None, "cka fails"),
    ]
    assert notes(rows) == [
        "cca fails at 0",
        "cca fails at 1",
        "cca: 3 more notes like these stand in the column 'note' of the values.",
        "cka fails",
    ]


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "deep" / "s.parquet"
    write_parquet([row(), row(None, "why")], {"measures": ["cka"]}, path)
    table = pl.read_parquet(path)
    assert is_similarities(table)
    assert from_table(table, path) == ([row(), row(None, "why")], {"measures": ["cka"]})
    assert not is_similarities(frame([row()]))


@pytest.mark.parametrize(
    "change", [lambda t: t.with_columns(pl.lit(0.75).alias("value")), lambda t: t.head(1), lambda t: t.head(0)]
)
def test_a_change_is_noticed(tmp_path, change):
    path = tmp_path / "s.parquet"
    write_parquet([row(), row(None, "why")], {}, path)
    with pytest.raises(StudyError, match=r"holds no whole similarities .*: save them again"):
        from_table(change(pl.read_parquet(path)), path)
