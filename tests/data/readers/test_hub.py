"""Sets of the library ``datasets``, whatever their format."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Subset

from modelstitch import Data
from modelstitch.errors import DataError

datasets = importlib.import_module("datasets")
NAMES = ["cat", "dog"]
LABELS = datasets.ClassLabel(names=NAMES)
RNG = np.random.default_rng(0)


def pictures(n=30, grey=(), names=NAMES, key="image"):
    arrays = [RNG.integers(0, 256, (4, 5) if i in grey else (4, 5, 3), dtype=np.uint8) for i in range(n)]
    features = datasets.Features({key: datasets.Image(), "label": datasets.ClassLabel(names=names)})
    rows = {key: [Image.fromarray(a) for a in arrays], "label": [i % 2 for i in range(n)]}
    return datasets.Dataset.from_dict(rows, features=features), arrays


@pytest.mark.parametrize("form", [None, "torch", "numpy"])
@pytest.mark.parametrize("key", ["image", "img"])
def test_images_and_class_names(form, key):
    rows, arrays = pictures(key=key)
    splits = [rows.select(range(*cut)).with_format(form) for cut in ((0, 10), (10, 20), (20, 30))]
    data = Data(*splits)
    assert (data.classes, data.n_classes) == (("cat", "dog"), 2)
    found = next(data.batches("test", 10))
    expected = torch.from_numpy(np.stack(arrays[20:])).permute(0, 3, 1, 2).float() / 255
    assert torch.equal(found.inputs, expected)
    assert found.labels.tolist() == [0, 1] * 5
    assert data.subset(4, seed=0).size("fit") == 4
    assert data.fingerprint == Data(*splits).fingerprint


def test_the_images_of_all_splits_decide_together():
    (colour, _), (grey, _) = pictures(10), pictures(10, grey=range(10))
    data = Data(grey, colour, pictures(10, grey=[0])[0])
    assert {tuple(next(data.batches(split, 2)).inputs.shape[1:]) for split in ("fit", "val", "test")} == {(3, 4, 5)}
    alone = Data(*(pictures(10, grey=range(10))[0] for _ in range(3)))
    assert next(alone.batches("fit", 2)).inputs.shape == (2, 1, 4, 5)


def test_images_of_several_sizes_are_left_to_views():
    images = [Image.new("RGB", (8, 6 + i % 3), (i, 0, 0)) for i in range(12)]
    features = datasets.Features({"image": datasets.Image(), "label": LABELS})
    rows = datasets.Dataset.from_dict({"image": images, "label": [0, 1] * 6}, features=features)
    data = Data(*(rows.select(range(a, a + 4)) for a in (0, 4, 8)))
    found = next(data.batches("val", 3)).inputs
    assert [tuple(image.shape) for image in found] == [(3, 7, 8), (3, 8, 8), (3, 6, 8)]


def test_other_columns_and_parts_of_a_set():
    x = torch.randn(30, 6).tolist()
    rows = datasets.Dataset.from_dict({"x": x, "label": [i % 3 for i in range(30)]})
    for form in (None, "torch", "numpy"):
        data = Data(*(Subset(rows.with_format(form), range(a, a + 10)) for a in (0, 10, 20)))
        assert torch.allclose(next(data.batches("val", 10)).inputs, torch.tensor(x[10:20]))
        assert data.labels("val").tolist() == [i % 3 for i in range(10, 20)]
    drawn = rows.shuffle(seed=0)
    data = Data(drawn.select(range(10)), drawn.select(range(10, 20)), drawn.select(range(20, 30)))
    assert data.labels("fit").tolist() == list(drawn[:10]["label"])


def test_tokens_and_a_transform_of_its_own():
    rows = datasets.Dataset.from_dict(
        {
            "input_ids": [[i, 1, 2] for i in range(30)],
            "attention_mask": [[1, 1, 0]] * 30,
            "label": [0, 1] * 15,
        }
    )
    cut = [rows.select(range(a, a + 10)) for a in (0, 10, 20)]
    batch = next(Data(*cut).batches("fit", 4))
    assert {key: value.dtype for key, value in batch.inputs.items()} == dict.fromkeys(batch.inputs, torch.int64)

    def transformed(row):
        return {"pixel_values": [torch.tensor(ids).float() for ids in row["input_ids"]], "label": row["label"]}

    data = Data(*(part.with_transform(transformed) for part in cut))
    assert next(data.batches("val", 3)).inputs.tolist() == [[10, 1, 2], [11, 1, 2], [12, 1, 2]]


def test_refusals():
    rows, _ = pictures()
    other, _ = pictures(names=["dog", "cat"])
    with pytest.raises(DataError, match=r"number their classes differently \(2 and 2 names, unlike from 0 on\)"):
        Data(rows, other, pictures()[0])
    text = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]})
    with pytest.raises(DataError, match=r"input 'text' is text, 'a': expected numbers; tokenize it first"):
        next(Data(text, text.select([0]), text.select([1])).batches("fit", 1))
    words = datasets.Dataset.from_dict({"x": [[1.0]] * 4, "label": ["no", "yes"] * 2})
    with pytest.raises(DataError, match="A label is 'no': expected whole numbers"):
        Data(words, words.select([0]), words.select([1]))
    assert Data(*(words.select([a, a + 1]) for a in (0, 1, 2)), classes=["no", "yes"]).labels("val").tolist() == [1, 0]
    cifar = datasets.Dataset.from_dict({"x": [[1.0]] * 4, "fine": [0, 1] * 2, "coarse": [0, 1] * 2})
    with pytest.raises(DataError, match=r"keys 'x', 'fine', 'coarse', no label by its usual name: name the keys"):
        Data(cifar, cifar.select([0]), cifar.select([1]))
    data = Data(*(cifar.select([a, a + 1]) for a in (0, 1, 2)), input_key="x", label_key="fine")
    assert next(data.batches("fit", 2)).labels.tolist() == [0, 1]
    with pytest.raises(DataError, match="DatasetDict with the keys 'train'"):
        Data(datasets.DatasetDict(train=rows), rows, rows)
    stream = rows.to_iterable_dataset()
    with pytest.raises(DataError, match=r"expected a map-style dataset.*streaming=True"):
        Data(stream, rows, rows)
