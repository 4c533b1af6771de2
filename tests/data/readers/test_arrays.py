"""Arrays of the user's own: names, splits, tables, galleries, and the sentence for each that does not do."""

import re

import numpy as np
import polars
import pytest
import torch

import modelstitch as ms
from modelstitch.errors import DataError

DRAW = np.random.default_rng(0)
X, Y = DRAW.normal(size=(100, 4)), DRAW.normal(size=100)
TRAITS = (DRAW.random((100, 3)) > 0.5).astype(np.int64)


def kept(place, **arrays):
    np.savez(place / "own.npz", **arrays)
    return f"arrays:{place / 'own.npz'}"


def folder(place, **arrays):
    for name, array in arrays.items():
        np.save(place / f"{name}.npy", array)
    return f"arrays:{place}"


def rows(data):
    return torch.cat([data.chosen(s, torch.arange(data.size(s))).inputs for s in ("fit", "val", "test")])


def test_one_file_is_split_and_every_sample_is_in_one_split(tmp_path):
    one, other = (ms.load_data(kept(tmp_path, inputs=X, labels=Y), task="regression", seed=seed) for seed in (0, 1))
    assert [one.size(split) for split in ("fit", "val", "test")] == [72, 8, 20]
    assert one.task.name == "regression"
    found = rows(one)
    assert found.dtype == torch.float32
    assert sorted(found[:, 0].tolist()) == sorted(X[:, 0].astype(np.float32).tolist())
    assert one.test_fingerprint == other.test_fingerprint
    assert one.fingerprint != other.fingerprint
    assert "one in five, one in ten of the rest for validation (seed 0)" in one.split_rule


@pytest.mark.parametrize("name", ["train_x train_y test_x test_y", "x_train y_train x_test y_test"])
def test_splits_of_the_source_stay(tmp_path, name):
    data = ms.load_data(kept(tmp_path, **dict(zip(name.split(), (X[:80], Y[:80], X[80:], Y[80:])))), task="regression")
    assert torch.equal(data.chosen("test", torch.arange(20)).inputs, torch.from_numpy(X[80:]).float())
    assert data.size("val") == 8


def test_a_folder_stays_on_disk(tmp_path):
    data = ms.load_data(folder(tmp_path, inputs=X, labels=TRAITS), task="multi-label")
    assert isinstance(data.dataset("fit").dataset.inputs.inputs, np.memmap)
    assert data.n_classes == 3
    found = data.chosen("test", data.dataset("test").ids.argsort())
    whole = data.dataset("test").ids[found.ids]
    assert torch.equal(found.labels, torch.from_numpy(TRAITS[whole]))
    np.save(tmp_path / "labels.npy", TRAITS[:50])
    with pytest.raises(DataError, match="has 100 inputs and 50 labels"):
        ms.load_data(f"arrays:{tmp_path}", task="multi-label")


def test_a_table_is_a_vector_a_row(tmp_path):
    frame = polars.DataFrame({**{f"c{i}": X[:, i] for i in range(4)}, "target": Y})
    frame.write_csv(tmp_path / "own.csv")
    data = ms.load_data(f"arrays:{tmp_path / 'own.csv'}", task="regression")
    assert data.sample_shape == (4,)
    some = ms.load_data(f"arrays:{tmp_path / 'own.csv'}?inputs=c1,c3&labels=target,c0", task="regression")
    assert some.sample_shape == (2,)
    assert some.labels("test").shape == (20, 2)
    polars.DataFrame({"x": X, "y": Y}, schema={"x": polars.List(polars.Float64), "y": polars.Float64}).write_parquet(
        tmp_path / "own.parquet"
    )
    assert ms.load_data(f"arrays:{tmp_path / 'own.parquet'}", task="regression").sample_shape == (4,)


def test_several_arrays_are_a_dict_and_names_are_classes(tmp_path):
    names = np.array(["cat", "dog"] * 50)
    spec = kept(tmp_path, a=X, b=X + 1, labels=names) + "?inputs=a,b"
    data = ms.load_data(spec)
    assert data.classes == ("cat", "dog")
    assert set(data.chosen("val", torch.arange(2)).inputs) == {"a", "b"}
    assert data.task.name == "classification"


def test_inputs_alone_do_for_a_task_without_labels(tmp_path):
    assert ms.load_data(kept(tmp_path, x=X), task="embedding").size("fit") == 72


def test_a_limit_leaves_the_share_of_classes(tmp_path):
    spec = kept(tmp_path, x=X, y=np.sort(np.arange(100) % 2))
    data = ms.load_data(spec, limit=20)
    assert (data.size("fit"), data.size("val"), data.size("test")) == (18, 2, 20)
    assert data.labels("fit").float().mean().item() == pytest.approx(0.5, abs=0.06)


def test_a_gallery_is_what_each_top_gives_for_its_items(tmp_path):
    ids = np.arange(100) % 7
    spec = kept(tmp_path, x=X, y=ids, gallery=X[:30], gallery_ids=ids[:30])
    data = ms.load_data(spec, task="retrieval:2")
    task = data.task.for_top(ms.Network(torch.nn.Linear(4, 3).eval(), torch.zeros(2, 4), "net"), data, "cpu")
    assert task.gallery.shape == (30, 3)
    assert task.k == 2


NAN = Y.copy()
NAN[3] = np.nan


@pytest.mark.parametrize(
    ("arrays", "task", "words"),
    [
        ({"x": X, "y": Y[:50]}, "regression", "own.npz has 100 inputs and 50 labels: expected one label for each"),
        ({"x": X}, "regression", "own.npz has no labels: expected a array 'labels' or 'y', found x"),
        ({"y": Y}, "regression", "own.npz has no inputs: expected a array 'inputs' or 'x', found y"),
        ({"x": X, "y": NAN}, "regression", "holds NaN or infinity, the first is at place"),
        (
            {"x": X, "y": np.full(100, 2.0)},
            "regression",
            "labels of own are 2 .the label.: expected numbers that differ",
        ),
        ({"x": X, "y": TRAITS * 2}, "multi-label", "are not 0 and 1 for each label of a sample"),
        ({"x": X, "y": np.arange(100)}, "dense", "are no maps"),
        (
            {"x": X, "y": np.array(["a", "b"] * 50)},
            "regression",
            "The array 'y' of own.npz holds <U1: expected numbers",
        ),
        ({"x": X.astype("S3"), "y": Y}, "regression", "The array 'x' of own.npz holds |S3: expected numbers"),
        ({"x": np.float32(1), "y": Y}, "regression", "The array 'x' of own.npz holds one float32"),
        (
            {"x": X, "y": Y, "ids": np.arange(100), "label_ids": np.arange(100)[::-1]},
            "regression",
            "in different orders: row 0 is '0' in ids and '99' in label_ids; sort both by id",
        ),
        ({"test_x": X, "test_y": Y}, "regression", "has arrays of test and none to fit on"),
        ({"x": X[:2], "y": Y[:2]}, "regression", "own.npz has 2 samples: expected 3 at least"),
        ({"x": X, "y": np.arange(100) // 50, "gallery": X}, "retrieval", "has no ids of the gallery"),
        ({"x": X, "y": Y}, "regressio", "The task 'regressio' is unknown"),
        ({"x": X, "y": Y}, "regression:3", "The task 'regression' takes no option"),
        ({"x": X, "y": Y}, "retrieval:x", "The task retrieval:x cannot be read"),
    ],
)
def test_arrays_that_do_not_do(tmp_path, arrays, task, words):
    with pytest.raises(DataError, match=words.replace("|", r"\|")):
        ms.load_data(kept(tmp_path, **arrays), task=task)


def test_files_that_are_none(tmp_path):
    (tmp_path / "broken.npz").write_bytes(b"no zip")
    (tmp_path / "empty").mkdir()
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "gaps.csv").write_text("x,y\n1,\n2,3\n")
    for place, words in {
        "broken.npz": "expected a .npz file of arrays",
        "none.npz": "cannot be read",
        "own.pt": "holds no arrays that are known: expected a .npz file, a folder of .npy files, or a table",
        "empty": "has no .npy files: found nothing",
        "gaps.csv": "The column 'y' of gaps.csv has 1 gaps",
        ".": "'object.npy' cannot be read",
        "own.npz?size=3": "The arrays option 'size' is unknown: expected inputs or labels",
        "own.npz?inputs": "The arrays option 'inputs' cannot be read: expected 'name=value'",
    }.items():
        with pytest.raises(DataError, match=re.escape(words).replace(r"'object", ".*object")):
            ms.load_data(f"arrays:{tmp_path}/{place}", task="regression")
