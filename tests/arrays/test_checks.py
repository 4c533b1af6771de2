"""What may be aligned."""

import numpy as np
import pytest
import torch

from modelstitch.arrays.checks import array, need, quick, told, weights_of
from modelstitch.errors import ArrayError, ShapeError

X = np.ones((4, 3), np.float32)


def test_usual_arrays_are_not_looked_at_number_by_number():
    assert quick(X, "x").values is X
    for other in (X.astype(int), X[0], X[:0], X.tolist(), torch.from_numpy(X)):
        assert quick(other, "x") is None


def test_a_single_column_may_come_without_its_axis():
    assert array([1.0, 2.0], "y", column=True).values.shape == (2, 1)
    with pytest.raises(ArrayError, match="Expected 2D array"):
        array([1.0, 2.0], "y")
    assert array(torch.from_numpy(X), "y").width == 3


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
