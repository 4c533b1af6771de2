"""The digits are scikit-learn's, whether read off its file or asked of it."""

import builtins

import pytest
import torch
from sklearn import datasets

from modelstitch.data.load import load_data
from modelstitch.data.readers import digits


@pytest.mark.parametrize("found", [True, False], ids=["own file", "asked"])
def test_the_table_is_scikit_learns(monkeypatch, found):
    if not found:
        monkeypatch.setattr(digits, "find_spec", lambda name: None)
    pixels, labels = digits._read()
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
    pixels, labels = digits._read()
    assert (pixels.shape, labels.shape) == ((1797, 64), (1797,))
