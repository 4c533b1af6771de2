"""Tables of texts: a column of texts, and one of labels."""

from pathlib import Path

import polars as pl
import pytest

from modelstitch.data.readers.tables import read_labels, read_table, read_texts
from modelstitch.errors import DataError

FRAME = pl.DataFrame({"text": ["a", "b, c", "d"], "label": [2, 0, 1], "name": ["dog", "cat", "dog"]})
PATH = Path("t.csv")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".tsv", ".jsonl"])
def test_the_two_columns_of_any_table(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    write = {".parquet": FRAME.write_parquet, ".jsonl": FRAME.write_ndjson, ".csv": FRAME.write_csv}
    write[suffix](path) if suffix in write else FRAME.write_csv(path, separator="\t")
    found = read_table(path, ["text", "label"])
    assert found.columns == ["text", "label"]
    assert read_texts(found, "text", path) == FRAME["text"].to_list()
    assert read_table(path, ["text"]).columns == ["text"]


def test_a_column_that_is_not_there(tmp_path):
    FRAME.write_csv(tmp_path / "t.csv")
    with pytest.raises(
        DataError, match=r"The table 't.csv' has no column 'txt': found text, label, name; choose with '\?column='"
    ):
        read_table(tmp_path / "t.csv", ["txt", "label"])


def test_a_file_that_is_no_table(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"The table '.*t.parquet' cannot be read \(.*\): check the file"):
        read_table(tmp_path / "t.parquet", ["text"])


@pytest.mark.parametrize(
    ("values", "words"), [([1, 2], "holds Int64 with 0 gaps: expected text"), (["a", None], "holds String with 1 gaps")]
)
def test_a_column_without_texts(values, words):
    with pytest.raises(DataError, match=f"The column 'x' of t.csv {words}"):
        read_texts(pl.DataFrame({"x": values}), "x", PATH)


def read(*columns, classes=None):
    return read_labels([(column, PATH) for column in columns], classes)


def test_labels_are_numbers_or_names_in_their_order_over_all_tables():
    numbers, names = read(FRAME["label"], FRAME["label"][:1])
    assert [n.tolist() for n in numbers] == [[2, 0, 1], [2]]
    assert names is None
    numbers, names = read(FRAME["name"], pl.Series(["ant"]))
    assert names == ["ant", "cat", "dog"]
    assert [n.tolist() for n in numbers] == [[2, 1, 2], [0]]


def test_numbers_beside_names_are_names_unless_the_classes_are_known():
    numbers, names = read(pl.Series([7]), pl.Series(["ant"]))
    assert (numbers[0].tolist(), numbers[1].tolist(), names) == ([0], [1], ["7", "ant"])
    numbers, names = read(pl.Series([1]), pl.Series(["ant"]), classes=["ant", "cat"])
    assert (numbers[0].tolist(), numbers[1].tolist(), names) == ([1], [0], ["ant", "cat"])
    with pytest.raises(DataError, match="The label 'dog' is none of the 2 classes: expected one of ant, cat"):
        read(pl.Series(["dog"]), classes=["ant", "cat"])


@pytest.mark.parametrize("values", [[0.5, 1.0], [1, None]])
def test_what_is_neither_is_refused(values):
    with pytest.raises(DataError, match="expected integers or the names of classes"):
        read(pl.Series("x", values))
