"""The diabetes table is scikit-learn's, whether read off its files or asked of it."""

import pytest
import torch
from sklearn import datasets

from modelstitch.data.load import load_data
from modelstitch.data.readers import diabetes, digits


@pytest.mark.parametrize("found", [True, False], ids=["own files", "asked"])
def test_the_table_is_scikit_learns(monkeypatch, found):
    if not found:
        monkeypatch.setattr(digits, "find_spec", lambda name: None)
    inputs, labels = diabetes._read()
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
