"""The digits are scikit-learn's, whether read off its file or asked of it."""

import builtins

import pytest
import torch
from sklearn import datasets

from modelstitch.data.load import load_data
from modelstitch.data.readers import packaged
from modelstitch.data.readers.packaged import draw


@pytest.mark.parametrize("found", [True, False], ids=["own file", "asked"])
def test_the_table_is_scikit_learns(monkeypatch, found):
    if not found:
        monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    pixels, labels = packaged._read_digits()
    expected = datasets.load_digits()
    assert torch.equal(pixels, torch.tensor(expected.data, dtype=torch.float32))
    assert torch.equal(labels, torch.tensor(expected.target))


def test_digits_splits_are_fixed_and_disjoint():
    data = load_data("digits")
    assert [data.size(split) for split in ("fit", "val", "test")] == [1000, 200, 597]
    rows = [data.dataset(split).inputs.flatten(1) for split in ("fit", "val", "test")]
    joined = torch.cat(rows)
    assert len(torch.unique(joined, dim=0)) == 1797
    assert joined.min() == 0
    assert joined.max() == 1
    counts = data.labels("test").bincount()
    assert counts.max() - counts.min() <= 3
    again = load_data("digits", seed=1)
    assert torch.equal(again.dataset("test").inputs, data.dataset("test").inputs)
    assert not torch.equal(again.dataset("fit").inputs, data.dataset("fit").inputs)
    few = load_data("digits", limit=60)
    assert (few.size("fit"), few.size("val"), few.size("test")) == (50, 10, 60)


def test_reading_them_does_not_import_scikit_learn(monkeypatch):
    real = builtins.__import__

    def refusing(name, *rest, **more):
        assert not name.startswith(("sklearn", "scipy"))
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refusing)
    pixels, labels = packaged._read_digits()
    assert (pixels.shape, labels.shape) == ((1797, 64), (1797,))


def test_the_same_seed_draws_the_same():
    one, other = draw(5, 3), draw(5, 3)
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])
    assert one[0].shape == (5, 1, 32, 32)
    assert one[1].unique().tolist() == [0, 1, 2]


def test_splits():
    data, again = load_data("shapes", limit=60), load_data("shapes", limit=60, seed=1)
    assert [data.size(split) for split in ("fit", "val", "test")] == [50, 10, 60]
    assert data.test_fingerprint == again.test_fingerprint
    assert data.fingerprint != again.fingerprint
    assert (data.n_classes, data.task.name) == (3, "dense")


@pytest.mark.parametrize("found", [True, False], ids=["own files", "asked"])
def test_the_diabetes_are_scikit_learns(monkeypatch, found):
    if not found:
        monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    inputs, labels = packaged._read_diabetes()
    expected = datasets.load_diabetes(scaled=False)
    assert torch.allclose(inputs, torch.tensor(expected.data))
    assert torch.equal(labels, torch.tensor(expected.target, dtype=torch.float32))


def test_splits_are_disjoint_and_the_test_split_is_fixed():
    data, again = load_data("diabetes"), load_data("diabetes", seed=1)
    assert [data.size(split) for split in ("fit", "val", "test")] == [250, 50, 142]
    assert data.task.name == "regression"
    rows = torch.cat([data.dataset(split).inputs for split in ("fit", "val", "test")])
    assert len(torch.unique(rows, dim=0)) == 442
    assert rows.mean(0).abs().max() < 1e-5
    assert again.test_fingerprint == data.test_fingerprint
    assert again.fingerprint != data.fingerprint
    assert load_data("diabetes", limit=60).size("fit") == 50
