"""Label variants: coarser labels, and partly random ones."""

import pytest
import torch

from modelstitch.data.load import load_data
from modelstitch.errors import DataError
from modelstitch.zoo.labels import with_labels


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", limit=300)


def test_label_variants(digits):
    noisy = with_labels(digits, "random-40", seed=1)
    changed = (noisy.labels("fit") != digits.labels("fit")).float().mean()
    assert 0.3 < changed < 0.42  # one in ten random labels is the true one
    assert torch.equal(noisy.labels("test"), digits.labels("test"))
    assert torch.equal(noisy.labels("fit"), with_labels(digits, "random-40", seed=1).labels("fit"))
    coarse = with_labels(digits, "object-animal")
    assert coarse.n_classes == 2
    for fine, label in enumerate([1, 1, 0, 0, 0, 0, 0, 0, 1, 1]):  # CIFAR-10's order: planes and cars first
        assert set(coarse.labels("test")[digits.labels("test") == fine].tolist()) == {label}
    assert with_labels(digits, "true") is digits
    for variant in ("random-101", "fine"):
        with pytest.raises(DataError, match=f"label variant '{variant}' is not known"):
            with_labels(digits, variant)
    with pytest.raises(DataError, match="are for CIFAR-10, found 2 classes"):
        with_labels(coarse, "object-animal")
