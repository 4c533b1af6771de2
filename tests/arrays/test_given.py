"""Arrays, tensors and files as vectors, read block by block."""

import numpy as np
import polars as pl
import pytest
import torch

from modelstitch.arrays import given
from modelstitch.arrays.given import Vectors, array, blocks_of, paired, quick, told, vectors, weights_of
from modelstitch.arrays.solve import need
from modelstitch.errors import ArrayError, ShapeError

X = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.mark.parametrize(
    ("made", "dtype"),
    [
        (X, np.float32),
        (X.astype(np.float16), np.float32),
        (X.astype(">f4"), np.float64),
        (X.astype(np.float64)[:, ::-1], np.float64),
        (torch.from_numpy(X), np.float32),
        (torch.from_numpy(X).bfloat16(), np.float32),
        (torch.from_numpy(X).requires_grad_(), np.float32),
        (X.tolist(), np.float64),
    ],
)
def test_what_comes_in_leaves_as_rows_of_single_or_double_precision(made, dtype):
    found = vectors(made, "the array").all()
    assert found.dtype == dtype
    np.testing.assert_array_equal(np.sort(found, axis=1), X)


def test_a_file_is_not_read_before_its_rows_are(tmp_path):
    np.save(tmp_path / "x.npy", X)
    found = vectors(tmp_path / "x.npy", "the array")
    assert isinstance(found.values, np.memmap)
    assert found.name == "the array (x.npy)"
    np.testing.assert_array_equal(found.all(), X)


@pytest.mark.parametrize(
    "frame",
    [
        {"id": ["a", "b", "c", "d"], "embedding": X.tolist()},
        {"embedding": pl.Series(X, dtype=pl.Array(pl.Float32, 3)), "id": ["a", "b", "c", "d"]},
        {"id": ["a", "b", "c", "d"], "x": X[:, 0], "y": X[:, 1], "z": X[:, 2]},
    ],
)
def test_a_parquet_file_holds_lists_or_columns_and_ids(frame, tmp_path):
    pl.DataFrame(frame).write_parquet(tmp_path / "x.parquet")
    found = vectors(tmp_path / "x.parquet", "the array")
    np.testing.assert_array_equal(found.all(), X)
    assert found.ids.tolist() == ["a", "b", "c", "d"]


def test_some_rows_are_read_in_their_order(monkeypatch):
    monkeypatch.setattr(given, "_BLOCK", 24)
    some = vectors(X, "x").only(np.array([3, 0, 2]))
    assert len(some) == 3
    blocks = [x for x, _ in blocks_of(some)]
    assert [len(x) for x in blocks] == [2, 1]
    np.testing.assert_array_equal(np.concatenate(blocks), X[[0, 2, 3]])


def test_the_first_number_that_is_not_finite_is_found_where_it_stands(monkeypatch):
    monkeypatch.setattr(given, "_BLOCK", 24)
    y = X.copy()
    y[0, 0] = y[3, 1] = np.nan
    whole = vectors(y, "x")
    assert whole.first_not_finite() == (0, 0)
    assert whole.only(np.array([1, 3])).first_not_finite() == (3, 1)
    assert vectors(X, "x").first_not_finite() is None


def test_the_sides_of_a_block_are_of_the_same_rows_and_weights(monkeypatch):
    monkeypatch.setattr(given, "_BLOCK", 24)
    narrow = Vectors(X[:, :1])
    found = list(blocks_of(Vectors(X), narrow, weights=[1, 2, 3, 4]))
    assert [w.tolist() for *_, w in found] == [[1, 2], [3, 4]]
    assert all(np.array_equal(x[:, :1], y) for x, y, _ in found)


def written(tmp_path, name, content):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, pl.DataFrame):
        content.write_parquet(path)
    else:
        np.save(path, content, allow_pickle=True)
    return path


FILES = {
    "whole numbers": ("x.npy", X.astype(np.uint8), r"\(x\.npy\) must hold floating-point numbers: found uint8"),
    "complex": ("x.npy", X.astype(complex), "must hold floating-point numbers: found complex128"),
    "objects": (
        "x.npy",
        np.array([{}, 1], dtype=object),
        r"cannot be read \(.*[Oo]bject.*expected a \.npy file of numbers",
    ),
    "a record": ("x.npy", np.zeros(3, dtype=[("a", "f4")]), r"must be a matrix, .*found shape \(3,\)"),
    "three axes": ("x.npy", np.zeros((2, 3, 4)), r"must be a matrix, .* found shape \(2, 3, 4\)"),
    "no rows": ("x.npy", np.zeros((0, 4)), r"must be a matrix, .* found shape \(0, 4\)"),
    "cut short": ("x.npy", b"\x93NUMPY\x01\x00", r"cannot be read \("),
    "text": ("x.npy", b"hello, world", r"cannot be read \("),
    "another kind": ("x.csv", b"1,2", r"expected a \.npy or \.parquet file, found '\.csv'"),
    "a broken table": ("x.parquet", b"PAR1", r"cannot be read as Parquet"),
    "lists of unlike length": (
        "x.parquet",
        pl.DataFrame({"v": [[1.0], [1.0, 2.0]]}),
        r"must hold lists of as many .* of 1 to 2 in column 'v'",
    ),
    "gaps": ("x.parquet", pl.DataFrame({"v": [[1.0, None], [1.0, 2.0]]}), "1 of them missing"),
    "texts": ("x.parquet", pl.DataFrame({"v": ["a"]}), "must have one column of lists of numbers, .* found v"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_wrong_kind_is_refused(name, tmp_path):
    file, content, words = FILES[name]
    with pytest.raises(ArrayError, match=words):
        vectors(written(tmp_path, file, content), "the old embeddings")


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(ArrayError, match=r"The old embeddings \(gone\.npy\) cannot be read"):
        vectors("gone.npy", "the old embeddings")


def test_what_is_no_array_is_refused():
    with pytest.raises(ArrayError, match="The old embeddings"):
        vectors([[1.0], [1.0, 2.0]], "the old embeddings")
    with pytest.raises(ArrayError, match="must be a matrix"):
        vectors({"a": 1}, "the old embeddings")


def test_pairs_are_of_the_same_samples():
    one, two = vectors(X, "one", "abcd"), vectors(X, "two", list("abcd"))
    paired(one, two)
    paired(one, vectors(X, "two"))
    with pytest.raises(ArrayError, match="in another order: row 0 is 'a' in one and 'd' in three"):
        paired(one, vectors(X, "three", "dcba"))


ONES = np.ones((4, 3), np.float32)


def test_usual_arrays_are_not_looked_at_number_by_number():
    assert quick(ONES, "x").values is ONES
    for other in (ONES.astype(int), ONES[0], ONES[:0], ONES.tolist(), torch.from_numpy(ONES)):
        assert quick(other, "x") is None


def test_a_single_column_may_come_without_its_axis():
    assert array([1.0, 2.0], "y", column=True).values.shape == (2, 1)
    with pytest.raises(ArrayError, match="Expected 2D array"):
        array([1.0, 2.0], "y")
    assert array(torch.from_numpy(ONES), "y").width == 3


def test_what_scikit_learn_says_is_on_one_line():
    assert str(told(ValueError("one\n  two"))) == "one two"
    own = ArrayError("ours")
    assert told(own) is own


def test_weights_are_numbers_of_zero_or_more():
    assert weights_of(None, 3) is None
    assert weights_of([0, 1, 2], 3).dtype == np.float64
    for wrong in ([1, 2], [1, -1, 1], [1, np.nan, 1], [0, 0, 0], np.ones((3, 1))):
        with pytest.raises(ArrayError, match="The weights must be"):
            weights_of(wrong, 3)


@pytest.mark.parametrize(
    ("family", "least"), [("affine", 2), ("low-rank:2", 3), ("low-rank", 2), ("mlp:4", 20), ("identity", 2)]
)
def test_a_family_says_how_many_pairs_it_needs(family, least):
    need(family, 3, 3, least)
    with pytest.raises(ArrayError, match=f"{least - 1} samples? cannot be aligned .* at least {least} pairs"):
        need(family, 3, 3, least - 1)


def test_a_family_without_a_member_is_refused_before_a_row_is_read():
    with pytest.raises(ShapeError, match="permutation"):
        need("permutation", 3, 4, 10)
    with pytest.raises(ArrayError, match="fitted through a network"):
        need("norm-affine-norm", 3, 3, 10)
