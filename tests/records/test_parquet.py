"""Records as a Parquet table: the same records, and every change noticed."""

import polars as pl
import pytest

from modelstitch.errors import StudyError
from modelstitch.records.parquet import read_table, records_from_parquet, records_of, records_to_parquet
from modelstitch.records.record import Record
from modelstitch.support.hashing import cell_hash


def record(seed, **more):
    config = {
        "family": "affine",
        "seed": seed,
        "bottom": {"name": "a", "layer": "l1"},
        "top": {"name": "b", "layer": "l2"},
    }
    return Record.of(
        {
            "version": 2,
            "cell": cell_hash(config),
            "config": config,
            "notes": ["a note"],
            "metrics": [{"metric": "penalty", "value": 1.5, "low": 0.25, "high": 2.75, "unit": "points"}],
            "provenance": {"torch": "2", "seconds": 1.0},
            **more,
        }
    )


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "deep" / "t.parquet"
    records_to_parquet([record(i) for i in range(3)], path)
    return path


def test_the_same_records_in_the_same_order(table):
    assert [r.plain() for r in records_from_parquet(table)] == [record(i).plain() for i in range(3)]


def test_parts_without_a_column_of_their_own_stay(tmp_path):
    path = tmp_path / "t.parquet"
    records_to_parquet([record(0, history=[[0, 50.0, 2.0]])], path)
    assert records_from_parquet(path)[0].plain()["history"] == [[0, 50.0, 2.0]]


CHANGES = {
    "a number": lambda t: t.with_columns(pl.col("metrics").str.replace("1.5", "1.6", literal=True)),
    "a row less": lambda t: t.head(2),
    "another order": lambda t: t.reverse(),
    "a row twice": lambda t: pl.concat([t, t.head(1)]),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_of_rows_is_noticed(table, case):
    with pytest.raises(StudyError, match="The rows of x changed since they were written: expected those of its digest"):
        records_of(CHANGES[case](read_table(table)), "x")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop("config"), "x is not a table of records: expected the columns .* found none named config"),
        (lambda t: t.with_columns(pl.lit(1).alias("extra")), "found another, extra, too"),
        (lambda t: t.with_columns(pl.lit("2").alias("version")), "expected version as Int64, found String"),
        (lambda t: t.drop("table").with_columns(pl.lit("{").alias("config")), "x holds a broken row for the cell"),
        (
            lambda t: t.drop("table").with_columns(pl.lit("0" * 16).alias("cell")),
            "x holds a broken row for the cell '0000",
        ),
    ],
)
def test_what_is_no_table_of_records(table, change, words):
    with pytest.raises(StudyError, match=words):
        records_of(change(read_table(table)), "x")


def test_without_its_digest_a_table_is_one_that_was_changed_on_purpose(table):
    assert len(records_of(read_table(table).drop("table").head(2), "x")) == 2


def test_files_that_cannot_be_read_or_written(tmp_path):
    with pytest.raises(StudyError, match=r"There is nothing to export to .*: expected finished cells"):
        records_to_parquet([], tmp_path / "t.parquet")
    (tmp_path / "x.parquet").write_text("no")
    for name in ("x", "missing"):
        with pytest.raises(StudyError, match=f"Cannot read .*{name}.parquet: expected a Parquet file of records"):
            records_from_parquet(tmp_path / f"{name}.parquet")
