"""The digits are scikit-learn's, whether read off its file or asked of it."""

import subprocess
import sys

import pytest
import torch
from sklearn import datasets

from modelstitch.sources import digits


@pytest.mark.parametrize("found", [True, False], ids=["own file", "asked"])
def test_the_table_is_scikit_learns(monkeypatch, found):
    if not found:
        monkeypatch.setattr(digits, "find_spec", lambda name: None)
    pixels, labels = digits._read()
    expected = datasets.load_digits()
    assert torch.equal(pixels, torch.tensor(expected.data, dtype=torch.float32))
    assert torch.equal(labels, torch.tensor(expected.target))


def test_reading_them_does_not_import_scikit_learn():
    code = "import sys; from modelstitch import load_data; load_data('digits'); sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
