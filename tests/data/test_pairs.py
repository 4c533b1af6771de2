"""Samples as pairs: what a dataset gives for [i], or how to make such pairs of it."""

import numpy as np
import pytest
import torch
from PIL import Image

from modelstitch.data.pairs import keys_of, pair_of
from modelstitch.errors import DataError

X = torch.zeros(2)
PICTURE = Image.new("RGB", (3, 2))

TAKEN = {
    "a pair": ((X, 3), {}, (X, 3)),
    "a list": ([X, 3], {}, (X, 3)),
    "a dict of two": ({"image": X, "label": 3}, {}, (X, 3)),
    "another usual label": ({"fine_label": 3, "img": X}, {}, (X, 3)),
    "a named label": ({"image": X, "kind": 3}, {"label_key": "kind"}, (X, 3)),
    "a named input": ({"image": X, "other": 1, "label": 3}, {"input_key": "image"}, (X, 3)),
}


@pytest.mark.parametrize("case", TAKEN)
def test_samples_that_are_pairs(case):
    sample, keys, (inputs, label) = TAKEN[case]
    found = pair_of(sample, **keys)
    assert found[0] is inputs
    assert found[1] == label


def test_numbers_become_a_tensor():
    assert torch.equal(pair_of(([1.0, 2.0], 0))[0], torch.tensor([1.0, 2.0]))
    assert torch.equal(pair_of({"x": [1, 2], "label": 0})[0], torch.tensor([1, 2]))


def test_tokens_and_all_beside_them_are_the_input():
    sample = {"input_ids": [1, 2], "attention_mask": [1, 1], "label": 0}
    assert keys_of(sample, None, None) == (("input_ids", "attention_mask"), "label")
    inputs, _ = pair_of(sample)
    assert torch.equal(inputs["attention_mask"], torch.tensor([1, 1]))
    assert list(pair_of(sample, ["input_ids"])[0]) == ["input_ids"]


REFUSED = {
    "three parts": ((X, 1, 2), {}, "of type tuple of 3: expected pairs .*it has 3 parts; wrap the dataset"),
    "a tensor alone": (X, {}, "of type Tensor: expected pairs .*give labels, too"),
    "an array alone": (np.zeros(2), {}, "of type ndarray"),
    "a picture alone": (PICTURE, {}, "expected pairs .*an input is a tensor: turn pictures into tensors"),
    "a picture": ((PICTURE, 1), {}, r"A sample's input is a PIL image \(RGB, 3x2\): expected a tensor"),
    "text": (
        {"text": "words", "label": 1},
        {},
        "The input 'text' is text, 'words': expected numbers; tokenize it first",
    ),
    "a gap": ({"x": None, "label": 1}, {}, "The input 'x' of a sample is None"),
    "ragged": ({"x": [[1], [1, 2]], "label": 1}, {}, "The input 'x' is a list that makes no tensor"),
    "keys for a pair": (
        (X, 1),
        {"label_key": "label"},
        "of type tuple of 2: input_key= and label_key= name keys of dicts",
    ),
    "no such key": (
        {"image": X, "label": 1},
        {"input_key": "img"},
        "The samples have no key 'img': found 'image', 'label'",
    ),
    "no label": (
        {"image": X, "kind": 1},
        {},
        r"no label by its usual name: name the keys, for example Data\(..., input_key='image', label_key='label'\)",
    ),
    "two labels": ({"image": X, "label": 1, "target": 1}, {}, "more than one label"),
    "two inputs": ({"image": X, "other": X, "label": 1}, {}, "expected one beside the label 'label', or input_ids"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_to_write_is_told(case):
    sample, keys, words = REFUSED[case]
    with pytest.raises(DataError, match=words):
        pair_of(sample, **keys)
