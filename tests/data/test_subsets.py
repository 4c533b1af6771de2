"""Datasets seen differently: images in memory, some samples of another dataset, other labels."""

import pytest
import torch
from torch.utils.data import TensorDataset

from modelstitch.data.subsets import Images, Picked, Relabelled, Several, Tokens, balanced_order, few, hold_out, placed
from modelstitch.errors import DataError

X, Y = torch.arange(24.0).view(6, 1, 2, 2), torch.tensor([0, 1, 2, 0, 1, 2])
TEN = torch.device("cpu")


def each(dataset):
    return [(tuple(x.flatten().tolist()), int(y)) for x, y in (dataset[i] for i in range(len(dataset)))]


@pytest.mark.parametrize(
    "dataset", [Images(X, Y), TensorDataset(X, Y), Several(list(X), Y)], ids=["images", "tensors", "several"]
)
def test_picked_samples_come_in_their_order(dataset):
    ids = torch.tensor([4, 0, 5])
    picked = Picked(dataset, ids)
    assert each(picked) == [each(dataset)[int(i)] for i in ids]
    inputs, labels = picked.batch(torch.tensor([2, 1]))
    assert torch.equal(inputs, X[[5, 0]])
    assert labels.tolist() == [2, 0]
    assert picked.labels is not None
    assert picked.labels.tolist() == [1, 0, 2]


def test_other_labels_on_the_same_inputs():
    other = Relabelled(Images(X, Y), torch.tensor([5, 4, 3, 2, 1, 0]))
    assert [label for _, label in each(other)] == [5, 4, 3, 2, 1, 0]
    inputs, labels = other.batch(torch.tensor([1, 1]))
    assert torch.equal(inputs, X[[1, 1]])
    assert labels.tolist() == [4, 4]
    with pytest.raises(DataError, match="5 labels cannot be given to 6 samples: expected one for each"):
        Relabelled(Images(X, Y), Y[:5])


def test_images_of_several_sizes_are_one_tensor_where_they_can():
    images = Several([torch.zeros(1, 2, 2), torch.ones(1, 2, 2), torch.ones(1, 3, 3)], torch.tensor([0, 1, 1]))
    assert images.batch(torch.tensor([0, 1]))[0].shape == (2, 1, 2, 2)
    apart, labels = images.batch(torch.tensor([2, 0]))
    assert [tuple(x.shape) for x in apart] == [(1, 3, 3), (1, 2, 2)]
    assert labels.tolist() == [1, 0]


def test_texts_keep_ids_masks_and_labels_together():
    tokens = Tokens(torch.arange(6).view(3, 2), torch.tensor([[1, 1], [1, 0], [1, 1]]), torch.tensor([0, 1, 0]))
    picked = tokens.picked(torch.tensor([1]))
    assert len(picked) == 1
    inputs, labels = picked.batch(torch.tensor([0]))
    assert inputs["input_ids"].tolist() == [[2, 3]]
    assert inputs["attention_mask"].tolist() == [[1, 0]]
    assert labels.tolist() == [1]
    one, label = tokens[2]
    assert one["input_ids"].tolist() == [4, 5]
    assert int(label) == 0


def test_images_need_a_label_each():
    with pytest.raises(DataError, match=r"Images need inputs \(n, channels, height, width\) and n labels, found"):
        Images(X, Y[:3])


def test_what_is_where_it_should_be_stays_itself():
    data = Relabelled(Picked(Images(X, Y), torch.tensor([1, 2])), torch.tensor([0, 0]))
    assert placed(data, TEN) is data


LABELS = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)


def test_every_prefix_holds_the_classes_in_their_proportion():
    order = balanced_order(LABELS, 0)
    assert sorted(order.tolist()) == list(range(100))
    for n in range(1, 101):
        counts = LABELS[order[:n]].bincount(minlength=3).double()
        assert float((counts - n * torch.tensor([0.6, 0.3, 0.1])).abs().max()) <= 1.0


def test_the_seed_decides_and_nothing_else():
    assert torch.equal(balanced_order(LABELS, 3), balanced_order(LABELS, 3))
    assert not torch.equal(balanced_order(LABELS, 3), balanced_order(LABELS, 4))
    before = torch.get_rng_state()
    balanced_order(LABELS, 5)
    assert torch.equal(torch.get_rng_state(), before)


def test_sequences_are_drawn_as_they_come():
    assert sorted(balanced_order(torch.zeros(8, 3), 0).tolist()) == list(range(8))


def test_what_is_held_out_is_balanced_and_leaves_the_rest():
    kept, out = hold_out(LABELS, 20, seed=1)
    assert LABELS[out].bincount().tolist() == [12, 6, 2]
    assert sorted([*kept.tolist(), *out.tolist()]) == list(range(100))
    assert kept.tolist() == sorted(kept.tolist())


def test_the_first_ones_do_where_they_are_a_fair_sample():
    mixed = LABELS[torch.randperm(100, generator=torch.Generator().manual_seed(0))]
    assert few(mixed, 100, 40).tolist() == list(range(40))
    assert few(torch.zeros(100, 3), 100, 40).tolist() == list(range(40))
    assert len(few(mixed, 100, 1000)) == 100


@pytest.mark.parametrize("labels", [None, torch.arange(1000).sort().values // 100])
def test_else_they_are_drawn(labels):
    found = few(labels, 1000, 200)
    assert len(set(found.tolist())) == 200
    assert found.tolist() != list(range(200))
    assert torch.equal(found, few(labels, 1000, 200))
