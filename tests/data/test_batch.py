"""A batch is cut into pieces in order, whatever its inputs are."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import pad
from torch.utils.data import Subset, TensorDataset

from modelstitch.data import batch as batches
from modelstitch.data.batch import (
    Batch,
    CropFlip,
    all_labels,
    check_mask,
    chunks,
    fetch,
    hash_parts,
    hash_samples,
    like_masks,
    mask_of,
    shared,
    some_of,
)
from modelstitch.errors import DataError
from modelstitch.support.hashing import Hash


@pytest.mark.parametrize("named", [False, True])
def test_a_batch_in_pieces(named):
    batch = Batch(torch.arange(12), torch.rand(12, 3, 4, 4), torch.arange(12) % 3)
    if named:
        batch = Batch(batch.ids, {"x": batch.inputs, "half": batch.inputs / 2}, batch.labels)
    pieces = list(batch.pieces(5))
    assert [len(piece) for piece in pieces] == [5, 5, 2]
    assert torch.equal(torch.cat([piece.ids for piece in pieces]), batch.ids)
    assert torch.equal(torch.cat([piece.labels for piece in pieces]), batch.labels)
    parts = [piece.inputs["half"] if named else piece.inputs for piece in pieces]
    assert torch.equal(torch.cat(parts), batch.inputs["half"] if named else batch.inputs)
    assert list(batch.pieces(12)) == [batch]


def test_the_mask_is_the_input_under_its_key():
    ids, mask = torch.arange(2), torch.tensor([[1, 0], [1, 1]])
    batch = Batch(ids, {"x": torch.rand(2, 2, 3), "there": mask}, ids, mask_key="there")
    assert batch.mask.tolist() == [[True, False], [True, True]]
    assert Batch(ids, torch.rand(2, 3), ids).mask is None


X, Y = torch.arange(24.0).view(6, 1, 2, 2), torch.tensor([0, 1, 2, 0, 1, 2])
DATA = TensorDataset(X, Y)


class Batches:
    """Gives several samples at once; one by one is an error."""

    labels = Y

    def __len__(self):
        return 6

    def batch(self, ids):
        return {"x": X[ids]}, Y[ids]


def test_samples_come_in_the_order_of_their_ids():
    inputs, labels = fetch(DATA, torch.tensor([5, 0, 5]))
    assert torch.equal(inputs, X[[5, 0, 5]])
    assert labels.tolist() == [2, 0, 2]
    assert torch.equal(fetch(Batches(), torch.tensor([1]))[0]["x"], X[[1]])


@pytest.mark.parametrize(
    ("images", "value"),
    [
        (torch.full((2, 3, 2, 2), 51, dtype=torch.uint8), 0.2),
        (torch.full((2, 3, 2, 2), 13107, dtype=torch.uint16), 0.2),
    ],
)
def test_images_of_whole_numbers_become_real(images, value):
    inputs, _ = fetch(TensorDataset(images, Y[:2]), torch.tensor([0, 1]))
    assert inputs.dtype == torch.float32
    assert torch.allclose(inputs, torch.tensor(value))


def test_images_of_several_sizes_are_a_list():
    images = [torch.full((3, n, n), 255, dtype=torch.uint8) for n in (2, 3)]
    inputs, labels = fetch([(x, i) for i, x in enumerate(images)], torch.tensor([0, 1]))
    assert [tuple(x.shape) for x in inputs] == [(3, 2, 2), (3, 3, 3)]
    assert all(bool((x == 1).all()) for x in inputs)
    assert labels.tolist() == [0, 1]


def test_what_makes_no_batch_is_told():
    with pytest.raises(
        DataError, match=r"Samples 0 to 1 cannot be stacked into a batch .*resize or pad them in the dataset"
    ):
        fetch([(torch.zeros(2), 0), (torch.zeros(3), 1)], torch.tensor([0, 1]))


def test_pieces_of_ids():
    assert [p.tolist() for p in chunks(torch.arange(5), 2)] == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(
    ("one", "other", "n"),
    [
        (DATA, DATA, 6),
        (DATA, TensorDataset(X, Y), 0),
        (Subset(DATA, [0, 1, 2]), Subset(DATA, [2, 3]), 1),
        (Subset(Subset(DATA, [3, 4, 5]), [0, 2]), Subset(DATA, torch.tensor([5, 1])), 1),
        (Subset(DATA, [0, 1]), DATA, 2),
        (Subset(DATA, [0]), Subset(DATA, [1]), 0),
    ],
)
def test_samples_in_common(one, other, n):
    assert shared(one, other) == shared(other, one) == n


def test_labels_without_reading_samples():
    assert all_labels(Batches(), scan=False).tolist() == Y.tolist()
    assert all_labels(DATA, scan=False).tolist() == Y.tolist()
    pairs = [(x, int(y)) for x, y in DATA]
    assert all_labels(pairs, scan=False) is None
    assert all_labels(pairs, scan=True).tolist() == Y.tolist()


def test_every_sample_and_label_counts_in_a_hash():
    def of(x, y):
        digest = Hash()
        hash_samples(TensorDataset(x, y), digest)
        return digest.hex()

    assert of(X, Y) == of(X.clone(), Y.clone())
    changed = X.clone()
    changed[5, 0, 1, 1] += 1
    assert len({of(X, Y), of(changed, Y), of(X, Y.flip(0)), of(X.double(), Y)}) == 4


class Large:
    """Maps that take a megabyte each, labels included, and note how many are read at a time."""

    def __init__(self, n):
        self.n, self.read = n, []

    def __len__(self):
        return self.n

    def batch(self, ids):
        self.read.append(len(ids))
        return torch.zeros(len(ids), 1 << 16), torch.zeros(len(ids), 3, 1 << 15, dtype=torch.int64)


@pytest.mark.parametrize("use", [lambda d: hash_samples(d, Hash()), lambda d: all_labels(d, scan=True)])
def test_large_samples_are_read_few_at_a_time(monkeypatch, use):
    monkeypatch.setattr(batches, "_BYTES", 5 << 20)
    for n, wanted in ((12, [1, 5, 5, 2]), (3, [1, 3])):
        use(large := Large(n))
        assert large.read == wanted


def test_nests_are_hashed_by_key_and_place():
    def of(value):
        digest = Hash()
        hash_parts(value, digest)
        return digest.hex()

    assert of({"a": X, "b": Y}) == of({"b": Y, "a": X})
    assert len({of({"a": X}), of({"b": X}), of((X,)), of(X), of(["text"]), of(["other"])}) == 6


def test_some_samples_of_any_nest():
    found = some_of({"x": X, "more": (Y, ["text"] * 6)}, slice(1, 3))
    assert torch.equal(found["x"], X[1:3])
    assert found["more"][0].tolist() == [1, 2]
    assert found["more"][1] == ["text"] * 2


def test_masks_of_padded_sequences():
    ids, mask = torch.arange(6).view(2, 3), torch.tensor([[1, 1, 1], [1, 0, 0]])
    assert mask_of({"input_ids": ids, "attention_mask": mask}).tolist() == [[True] * 3, [True, False, False]]
    assert mask_of({"attention_mask": torch.ones(2, 3)}) is None
    assert mask_of({"input_ids": ids}) is None
    assert mask_of(ids) is None
    assert mask_of({"own": mask}, "own") is not None
    assert like_masks({"input_ids": ids, "own": mask, "full": torch.ones(2, 3)}) == ["own"]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"x": X}, "The samples have no mask 'own': expected a key of their dict, found 'x'; check mask="),
        (X, "found Tensor"),
        (
            {"own": torch.tensor([[0.5, 1.0]])},
            r"The mask 'own' is a tensor of shape \(1, 2\) and type torch.float32: expected \(n, positions\)",
        ),
    ],
)
def test_a_mask_that_was_named_must_be_one(inputs, words):
    with pytest.raises(DataError, match=words):
        check_mask(inputs, "own")
    check_mask(inputs, "attention_mask")  # most data have none


def test_every_result_is_one_of_the_possible_crops_and_all_occur():
    image = torch.rand(1, 3, 5, 5)
    augment = CropFlip(1, flip=True)
    out = augment(image.expand(600, -1, -1, -1), torch.Generator().manual_seed(0))
    padded = pad(image[0], (1, 1, 1, 1))
    crops = [padded[:, y : y + 5, x : x + 5] for y in range(3) for x in range(3)]
    possible = torch.stack([*crops, *[crop.flip(2) for crop in crops]])
    same = (out[:, None] == possible).flatten(2).all(2)
    assert bool((same.sum(1) == 1).all())
    assert bool((same.sum(0) > 10).all())


def test_seeded_and_told():
    images = torch.rand(8, 1, 8, 8)
    one, two = (CropFlip(1)(images, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(one, two)
    assert CropFlip(4, flip=True).recipe == "random crop after padding by 4, random horizontal flip"
