"""The data of a scale: whether they are its own, what to fetch, and what a page may print of where they lie."""

from types import SimpleNamespace

import pytest
import torch

from modelstitch.errors import DataError
from modelstitch.paper.data import load, other, without_paths
from modelstitch.paper.scales import FASHION, SMALL, SMOKE


@pytest.fixture
def cifar_like():
    """What only the sizes of a data set tell."""

    class Like:
        def __init__(self, name, shape, classes, fit, test):
            self.name, self.n_classes, self.sizes = name, classes, {"fit": fit, "val": 5000, "test": test}
            self.shape = shape

        def size(self, split):
            return self.sizes[split]

        def batches(self, split, n):
            yield SimpleNamespace(inputs=torch.zeros(n, *self.shape))

    return Like


@pytest.mark.parametrize(
    ("like", "scale", "words"),
    [
        (("mine", (3, 32, 32), 10, 45_000, 10_000), SMALL, ""),
        (("svhn", (3, 32, 32), 10, 68_257, 26_032), SMALL, "svhn (3 x 32 x 32, 10 classes), not CIFAR-10"),
        (("digits", (1, 8, 8), 10, 1077, 360), SMALL, "digits (1 x 8 x 8, 10 classes), not CIFAR-10"),
        (("digits", (1, 8, 8), 10, 1077, 360), SMOKE, ""),
        (("mine", (1, 28, 28), 10, 55_000, 10_000), FASHION, ""),
        (
            ("mnist-like", (1, 28, 28), 10, 1000, 100),
            FASHION,
            "mnist-like (1 x 28 x 28, 10 classes), not Fashion-MNIST",
        ),
        (("organs", (1, 28, 28), 11, 900, 100), SMOKE, "organs (1 x 28 x 28, 11 classes), not scikit-learn's digits"),
    ],
)
def test_other_data_than_the_scales_own_are_named(cifar_like, like, scale, words):
    assert other(cifar_like(*like), scale) == words


@pytest.mark.parametrize(
    ("spec", "printed"),
    [("digits", "digits"), ("parquet:/home/me/x", "parquet:DIR"), ("folder:x?size=32", "folder:DIR?size=32"), ("", "")],
)
def test_pages_print_no_paths(spec, printed):
    assert without_paths(spec) == printed


@pytest.mark.parametrize(
    ("spec", "scale", "text"),
    [
        ("cifar10", SMALL, r"needs data: expected CIFAR-10 .* --data parquet:DIR"),
        ("fashion-mnist", FASHION, r"needs data: expected Fashion-MNIST .* given as --data fashion-mnist:DIR"),
        ("parquet:nowhere", SMALL, r"no folder 'nowhere'.*expected CIFAR-10 .* --data cifar10:DIR"),
        ("nothing", SMOKE, "The data 'nothing' is not known"),
    ],
)
def test_missing_data_say_what_to_fetch(spec, scale, text):
    with pytest.raises(DataError, match=text):
        load(spec, scale)
