"""Labels as whole numbers: what is taken, and what is refused since it means something else."""

import numpy as np
import pytest
import torch

from modelstitch.data.labels import IGNORED, MOST_CLASSES, as_labels, check_one_hot, check_range, check_whole
from modelstitch.errors import DataError

TAKEN = {
    "int32": (torch.tensor([2, 0], dtype=torch.int32), [2, 0]),
    "bools": (torch.tensor([True, False]), [1, 0]),
    "whole floats": (torch.tensor([2.0, -1.0]), [2, -1]),
    "a column": (torch.tensor([[2], [0]]), [2, 0]),
    "an array": (np.array([2, 0], dtype=np.uint8), [2, 0]),
    "numbers": ((2, 0), [2, 0]),
    "sequences": ([[1, IGNORED], [0, 2]], [[1, IGNORED], [0, 2]]),
}


@pytest.mark.parametrize("case", TAKEN)
def test_labels_that_are_numbers(case):
    found, wanted = TAKEN[case]
    labels = as_labels(found)
    assert labels.dtype == torch.int64
    assert labels.tolist() == wanted


def test_names_are_numbered_by_the_classes():
    assert as_labels(["dog", "cat", "dog"], ["cat", "dog"]).tolist() == [1, 0, 1]
    assert as_labels([1, 0], ["cat", "dog"]).tolist() == [1, 0]
    with pytest.raises(
        DataError, match=r"A label is 'cow': expected one of the 2 classes \(cat, dog\); check classes="
    ):
        as_labels(np.array(["dog", "cow"]), ["cat", "dog"])


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (["dog", "cat"], "A label is 'dog': expected whole numbers, .* give their names as classes="),
        (
            torch.tensor([0.5, 1.0]),
            "The labels of x are of type torch.float32: expected integers, the numbers of the cl",
        ),
        (torch.tensor([0.0, float("nan")]), "1 label of x holds NaN or infinity, the first is at place 1"),
        (
            torch.tensor([[1.0, 2.0], [0.5, float("inf")]]),
            "1 label of x holds NaN or infinity, the first is at place 1",
        ),
        (np.ones(3, np.longdouble), r"labels are of type float\d+: expected a type of numbers that torch knows"),
        (torch.eye(3), r"of one-hot labels make them with .argmax\(1\)"),
        (torch.tensor([1j]), "of type torch.complex64"),
    ],
)
def test_what_means_something_else_is_refused(found, words):
    with pytest.raises(DataError, match=words):
        check_whole(as_labels(found), "x")


def test_one_hot_rows_are_no_sequences():
    one_hot = torch.nn.functional.one_hot(torch.arange(20) % 4)
    with pytest.raises(
        DataError, match=r"The labels of the fit split of x are one-hot, \(20, 4\).* give labels.argmax\(1\)"
    ):
        check_one_hot(one_hot, "the fit split of x")
    check_one_hot(one_hot[:8], "x")  # so few may be so by chance
    check_one_hot(1 - one_hot, "x")
    check_one_hot(torch.arange(20), "x")


@pytest.mark.parametrize(
    ("labels", "classes", "words"),
    [
        ([0, 3, 4], 3, "2 labels of x are out of range, the first is 3: expected 0 to 2; check the labels"),
        (
            [1, 2, 3],
            3,
            "1 label of x is out of range, the first is 3: expected 0 to 2; labels that count from 1 need 1 subtracted",
        ),
        ([0, -1], None, "the first is -1: expected 0 or more; leave out samples without a label"),
        ([0, MOST_CLASSES], None, "expected the number of a class, below 4,194,304; number the classes from 0"),
    ],
)
def test_numbers_of_no_class_are_refused(labels, classes, words):
    with pytest.raises(DataError, match=words):
        check_range(torch.tensor(labels), classes, "x")


def test_padding_of_sequences_is_out_of_no_range():
    check_range(torch.tensor([[0, IGNORED], [2, 1]]), 3, "x")
    with pytest.raises(DataError, match="At least 1 label of x is out of range"):
        check_range(torch.tensor([[0, IGNORED], [3, 1]]), 3, "x", whole=False)
