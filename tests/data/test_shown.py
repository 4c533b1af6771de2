"""Test samples as images or texts, of the data that were measured on alone."""

import pytest
import torch

import modelstitch as ms
from modelstitch.data.shown import Shown
from modelstitch.errors import DataError


def made(inputs, **more):
    return ms.Data(**{s: (inputs.clone(), torch.arange(len(inputs)) % 2) for s in ("fit", "val", "test")}, **more)


def test_images_have_pictures_and_no_text_and_tokens_the_other_way_round():
    images = made(torch.rand(4, 1, 5, 5), classes=["cat", "dog"])
    shown = Shown(images, [images.test_fingerprint])
    assert list(shown.pictures([2])) == [2]
    assert shown.passages([(2, None)]) == []
    assert [shown.word(label) for label in (0, 1, 2)] == ["cat", "dog", "2"]
    tokens = Shown(made(torch.arange(12).reshape(4, 3)), [])
    assert tokens.pictures([2]) == {}
    assert str(tokens.passages([(2, None)])[0]) == "6 7 8"
    assert tokens.word(1) == "1"


def test_another_test_split_is_refused():
    with pytest.raises(DataError, match="another test split than the records: expected the one of hash abc"):
        Shown(made(torch.rand(4, 3)), ["abc"])
