"""What may be given as a split: arrays, columns, dicts, loaders; and what is told where something else is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    Subset,
    TensorDataset,
)

from modelstitch import Data
from modelstitch.data.labels import check_outputs
from modelstitch.errors import DataError

X = torch.randn(120, 5, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
CUTS = ((0, 60), (60, 90), (90, 120))


class Column:
    """As a series or a frame of a table."""

    def __init__(self, values):
        self.values = values

    def to_numpy(self):
        return self.values

    def __len__(self):
        return len(self.values)


class Rows(Dataset):
    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i]


def dicts(a, b, **more):
    return [{"image": x, "label": int(y), **more} for x, y in zip(X[a:b], Y[a:b])]


TAKEN = {
    "TensorDataset": lambda a, b: TensorDataset(X[a:b], Y[a:b]),
    "labels (n, 1)": lambda a, b: TensorDataset(X[a:b], Y[a:b, None]),
    "labels that are whole floats": lambda a, b: TensorDataset(X[a:b], Y[a:b].double()),
    "labels that are bools": lambda a, b: TensorDataset(X[a:b], Y[a:b].bool()),
    "labels of 8 bits": lambda a, b: TensorDataset(X[a:b], Y[a:b].to(torch.uint8)),
    "pairs with labels (1,)": lambda a, b: [(x, y[None]) for x, y in zip(X[a:b], Y[a:b])],
    "pairs of lists": lambda a, b: [(x.tolist(), int(y)) for x, y in zip(X[a:b], Y[a:b])],
    "pairs": lambda a, b: list(zip(X[a:b], Y[a:b].tolist())),
    "tensors": lambda a, b: (X[a:b], Y[a:b]),
    "tensors in a list": lambda a, b: [X[a:b], Y[a:b]],
    "arrays": lambda a, b: (X[a:b].numpy().copy(), Y[a:b].numpy().copy()),
    "arrays of float64, labels (n, 1)": lambda a, b: (X[a:b].double().numpy(), Y[a:b, None].numpy()),
    "big-endian arrays": lambda a, b: (X[a:b].numpy().astype(">f4"), Y[a:b].numpy().astype(">i8")),
    "lists": lambda a, b: (X[a:b].tolist(), Y[a:b].tolist()),
    "a list of tensors, a list": lambda a, b: (list(X[a:b]), Y[a:b].tolist()),
    "columns of a table": lambda a, b: (Column(X[a:b].numpy()), Column(Y[a:b].numpy())),
    "a dict of columns": lambda a, b: {"x": X[a:b].numpy(), "y": Y[a:b].numpy()},
    "dicts": dicts,
    "a dataset of dicts": lambda a, b: Rows(dicts(a, b)),
    "dicts of lists": lambda a, b: [{"x": x.tolist(), "target": int(y)} for x, y in zip(X[a:b], Y[a:b])],
    "a Subset of dicts": lambda a, b: Subset(Rows(dicts(0, 120)), range(a, b)),
    "a loader in order": lambda a, b: DataLoader(TensorDataset(X[a:b], Y[a:b]), batch_size=7),
    "a loader that drops nothing": lambda a, b: DataLoader(
        TensorDataset(X[a:b], Y[a:b]), batch_size=30, drop_last=True
    ),
    "a loader of dicts": lambda a, b: DataLoader(dicts(a, b), batch_size=7),
}


@pytest.mark.parametrize("name", TAKEN)
def test_forms_that_are_taken(name):
    data = Data(*(TAKEN[name](a, b) for a, b in CUTS))
    for split, (a, b) in zip(("fit", "val", "test"), CUTS):
        batches = list(data.batches(split, 50))
        found = torch.cat([batch.inputs for batch in batches])
        assert found.dtype == torch.float32
        assert torch.equal(found, X[a:b])
        assert torch.equal(torch.cat([batch.labels for batch in batches]), Y[a:b])
        assert torch.equal(data.labels(split), Y[a:b])
    assert data.n_classes == 2
    assert data.fingerprint == Data(*(TensorDataset(X[a:b], Y[a:b]) for a, b in CUTS)).fingerprint
    assert data.subset(10).relabelled({"val": Y[60:90]}, name="x", classes="ab").labels("val").shape == (30,)


def test_keys_that_are_named():
    rows = dicts(0, 120, coarse_label=0, path="a.png")
    splits = [rows[a:b] for a, b in CUTS]
    data = Data(*splits, input_key="image", label_key="label")
    assert torch.equal(next(data.batches("val", 30)).inputs, X[60:90])
    several = Data(*splits, input_key=["image", "coarse_label"], label_key="label")
    assert set(next(several.batches("val", 3)).inputs) == {"image", "coarse_label"}
    assert Data(*[TensorDataset(X[a:b], Y[a:b]) for a, b in CUTS]).fingerprint == data.fingerprint


def test_tokens_beside_a_label_are_the_input():
    rows = [{"input_ids": [1, 2, i], "attention_mask": [1, 1, 1], "label": i % 2} for i in range(30)]
    batch = next(Data(rows[:10], rows[10:20], rows[20:]).batches("fit", 4))
    assert {key: tuple(value.shape) for key, value in batch.inputs.items()} == {
        "input_ids": (4, 3),
        "attention_mask": (4, 3),
    }
    arrays = ({"input_ids": torch.zeros(10, 3).long(), "attention_mask": torch.ones(10, 3)}, torch.arange(10) % 2)
    assert set(next(Data(arrays, rows[:10], rows[10:]).batches("fit", 4)).inputs) == {"input_ids", "attention_mask"}


def test_labels_may_be_names_where_classes_are_known():
    words = [["no", "yes"][int(y)] for y in Y]
    splits = [(X[a:b], words[a:b]) for a, b in CUTS]
    assert torch.equal(Data(*splits, classes=["no", "yes"]).labels("test"), Y[90:])
    with pytest.raises(DataError, match=r"A label is 'yes': expected one of the 1 classes \(no\)|A label is 'yes'"):
        Data(*splits, classes=["no", "maybe"])


class Endless(IterableDataset):
    def __iter__(self):
        yield torch.zeros(3), 0


PICTURES = [(Image.new("RGB", (4, 3)), i % 2) for i in range(8)]
TOLD = {  # a fit split, and what is said of it
    "bare tensors": (
        X[:60],
        r"type Tensor: expected pairs \(input, label\); give labels, too, as \(inputs, labels\) for the whole",
    ),
    "bare tensors of a dataset": (TensorDataset(X[:60]), r"type tuple of 1: .*has 1 parts; wrap"),
    "triples": ([(x, 0, 0) for x in X[:60]], r"type tuple of 3: expected pairs .*sample\[0\] and sample\[1\]"),
    "pictures": (
        PICTURES,
        r"input is a PIL image \(RGB, 4x3\): expected a tensor; give the dataset transform=.*ToTensor\(\)",
    ),
    "pictures in dicts": ([{"image": p, "label": i} for p, i in PICTURES], r"PIL image \(RGB, 4x3\): .*ToTensor"),
    "bare pictures": ([p for p, _ in PICTURES], r"type Image: expected pairs .*ToTensor\(\).* and a label beside it"),
    "three arrays": (
        (X[:60], Y[:60], Y[:60]),
        r"fit split of data is a tuple of 3 arrays: expected two, \(inputs, labels\)",
    ),
    "other lengths": ((X[:60], Y[:50]), r"fit split of data has 60 inputs and 50 labels: expected one label for each"),
    "text in dicts": (
        [{"text": "a", "label": 0}] * 9,
        r"input 'text' is text, 'a': expected numbers; tokenize it first",
    ),
    "no label": (
        [{"image": X[0], "name": 1}] * 9,
        r"keys 'image', 'name', no label by its usual name: .*input_key='image'",
    ),
    "two labels": (
        [{"img": X[0], "label": 1, "target": 0}] * 9,
        r"more than one label: name the keys, .*input_key='img'",
    ),
    "more than an input": (
        [{"img": X[0], "label": 1, "coarse": 0}] * 9,
        r"keys 'img', 'label', 'coarse': expected one beside the label 'label'.*Data\(..., input_key='img', "
        r"label_key='label'\)",
    ),
    "splits in one dict": (
        {"train": Rows([]), "test": Rows([])},
        r"is a dict with the keys 'train', 'test': expected one split; pass",
    ),
    "a table": (
        type("Frame", (Column,), {"columns": ["x"]})(X),
        r"is a table \(Frame\): expected inputs and labels; give \(table",
    ),
    "labels that are objects": ((X[:60], np.array([None] * 60)), r"A label is None: expected whole numbers"),
    "labels that are lists of unlike length": (
        (X[:60], [[0], [1, 2]] * 30),
        r"A label is \[0\]: expected whole numbers",
    ),
    "labels of which one lacks": ((X[:60], [None, 1] * 30), r"A label is None: expected whole numbers"),
    "fewer labels, listed": (
        (X[:60], [0.5, 1] * 20),
        r"has 60 inputs and 40 labels: expected one label for each input",
    ),
    "labels that are a dict": (
        (X[:60], {"y": Y[:60]}),
        r"has labels of type dict: expected an array, or a list of num",
    ),
    "inputs that are dates": (
        (np.zeros(60, "datetime64[s]"), Y[:60]),
        r"The fit split of data has inputs that make no tensor .*: expected numbers of one shape for all samples",
    ),
    "a path": ("photos/train", r"fit split of data is 'photos/train': expected samples; .*load_data\('folder:...'\)"),
    "endless": (Endless(), r"of type Endless: expected a map-style .*list\(dataset\).*streaming=True"),
    "a loader of that": (DataLoader(Endless()), r"of type Endless: expected a map-style dataset"),
    "a loader that shuffles": (
        DataLoader(dicts(0, 60), shuffle=True),
        r"draws its samples with a RandomSampler: .*\.dataset",
    ),
    "a loader of a subset": (
        DataLoader(dicts(0, 60), sampler=torch.utils.data.SubsetRandomSampler(range(9))),
        r"draws its samples with a SubsetRandomSampler: .*Subset\(dataset, indices\)",
    ),
    "a loader that drops": (
        DataLoader(dicts(0, 60), 16, drop_last=True),
        r"leaves out the last 12 of 60 samples \(drop_last\)",
    ),
    "a loader that collates": (DataLoader(dicts(0, 60), 16, collate_fn=lambda s: s), r"has a collate_fn of its own"),
    "a loader without batches": (DataLoader(dicts(0, 60), batch_size=None), r"makes no batches"),
    "a loader of drawn batches": (
        DataLoader(dicts(0, 60), batch_sampler=type("Mine", (BatchSampler,), {})(SequentialSampler(X), 4, False)),
        r"has a batch sampler of its own",
    ),
    "one-hot": (
        (X[:60], torch.nn.functional.one_hot(Y[:60])),
        r"are one-hot, \(60, 2\) with one 1 in each row: .*argmax\(1\)",
    ),
    "one-hot floats": (
        (X[:60], torch.nn.functional.one_hot(Y[:60]).float()),
        r"of one-hot labels make them with .argmax\(1\)",
    ),
    "half labels": (
        (X[:60], Y[:60] / 2),
        r"labels of the fit split of data are of type torch.float32: expected integers",
    ),
    "an id": (
        (X[:60], Y[:60] + 2**40),
        r"first is 1099511627\d+: expected the number of a class, below 4,194,304; number the",
    ),
    "unlabelled": ((X[:60], Y[:60] - 1), r"is -1: expected 0 or more; leave out samples without a label"),
    "memory in common": ((X[30:95], Y[30:95]), r"fit and the val split of data have some samples in common"),
}


@pytest.mark.parametrize("name", TOLD)
def test_what_is_told(name):
    given, words = TOLD[name]
    with pytest.raises(DataError, match=words):
        next(Data(given, (X[60:90], Y[60:90]), (X[90:], Y[90:])).batches("fit", 60))


def test_keys_of_samples_that_are_no_dicts():
    splits = [list(zip(X[a:b], Y[a:b])) for a, b in CUTS]
    with pytest.raises(DataError, match=r"type tuple of 2: input_key= and label_key= name keys of dicts"):
        next(Data(*splits, label_key="label").batches("fit", 4))
    with pytest.raises(DataError, match=r"no key 'lable': found 'image', 'label'; check input_key= and label_key="):
        next(Data(*(dicts(a, b) for a, b in CUTS), label_key="lable").batches("fit", 4))


def test_labels_that_count_from_one():
    splits = [(X[a:b], Y[a:b] + 1) for a, b in CUTS]
    with pytest.raises(DataError, match="the first is 2: expected 0 to 1; labels that count from 1 need 1 subtracted"):
        Data(*splits, classes=["no", "yes"])


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (Y + 1, "A label is 2, the network has 2 outputs: .*Labels that count from 1 need 1 subtracted"),
        (Y * 2, "A label is 2, the network has 2 outputs: .*own classes.$"),
        (Y - 2, "A label is -2, the network has 2 outputs"),
    ],
)
def test_labels_beyond_a_networks_outputs(labels, words):
    with pytest.raises(DataError, match=words):
        check_outputs(labels, 2)


def test_slices_that_do_not_meet_are_splits():
    for whole in (X, X.numpy()):
        data = Data((whole[::2], Y[::2]), (whole[1:41:2], Y[1:41:2]), (whole[41::2], Y[41::2]))
        assert torch.equal(next(data.batches("fit", 60)).inputs, X[::2])


def test_a_memory_map_is_read_as_it_is_needed(tmp_path):
    np.save(tmp_path / "x.npy", X.numpy())
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    data = Data(*((mapped[a:b], Y[a:b]) for a, b in CUTS))
    assert isinstance(data.dataset("fit").inputs, np.memmap)
    assert torch.equal(next(data.batches("fit", 60)).inputs, X[:60])


def test_bytes_and_words_of_16_bits_are_scaled():
    for kind, most in ((np.uint8, 255), (np.uint16, 65535)):
        pictures = np.full((90, 2, 3, 3), most, kind)
        data = Data(*((pictures[a : a + 30].copy(), Y[a : a + 30]) for a in (0, 30, 60)))
        assert torch.equal(next(data.batches("fit", 4)).inputs, torch.ones(4, 2, 3, 3))
    ids = np.full((90, 7), 40_000, np.uint16)
    data = Data(*((ids[a : a + 30].copy(), Y[a : a + 30]) for a in (0, 30, 60)))
    assert int(next(data.batches("fit", 4)).inputs.long().max()) == 40_000
