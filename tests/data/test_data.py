"""Data: splits, batches, subsets, fingerprints, and what is refused."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset

from modelstitch.data.batch import shared
from modelstitch.data.corrupt import corrupted
from modelstitch.data.data import Data
from modelstitch.data.subsets import Images, few
from modelstitch.errors import DataError


class Pairs:
    """An ordinary map-style dataset of dict inputs."""

    def __init__(self, n: int, offset: int = 0) -> None:
        self.n, self.offset = n, offset

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int):
        return {"ids": torch.tensor([i, i + self.offset]), "mask": torch.ones(2)}, i % 3


def images(n: int = 12, classes: int = 3, seed: int = 0) -> Images:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randint(0, 256, (n, 3, 4, 4), generator=generator, dtype=torch.uint8)
    return Images(inputs, torch.arange(n) % classes)


def small(**changes) -> Data:
    return Data(**{"fit": images(12), "val": images(6, seed=1), "test": images(9, seed=2), **changes})


def test_batches_keep_order_and_scale_bytes():
    data = small()
    batches = list(data.batches("fit", 5))
    assert [len(batch) for batch in batches] == [5, 5, 2]
    assert torch.equal(torch.cat([b.ids for b in batches]), torch.arange(12))
    expected = data.dataset("fit").inputs.float() / 255
    assert torch.equal(torch.cat([b.inputs for b in batches]), expected)


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_class_that_the_fit_split_lacks_is_counted(split):
    assert small(**{split: images(8, classes=4)}).n_classes == 4
    assert small(**{split: images(8, classes=4)}, n_classes=5).n_classes == 5


class Endless(IterableDataset):
    def __iter__(self):
        yield torch.zeros(3), 0


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (
            DataLoader(images(4), shuffle=True),
            "The val split of data is a DataLoader that draws .* RandomSampler: .*pass its .dataset",
        ),
        (Endless(), "The val split of data is of type Endless: expected a map-style dataset"),
        (iter(range(3)), "The val split of data is of type range_iterator: expected a map-style dataset"),
    ],
)
def test_what_is_no_dataset_is_refused(dataset, words):
    with pytest.raises(DataError, match=words):
        small(val=dataset)


def test_labels_that_are_words_are_refused():
    samples = [(torch.zeros(2), word) for word in ("cat", "dog")]
    with pytest.raises(DataError, match=r"A label is 'cat': expected whole numbers, .* give their names as classes="):
        Data(samples, list(samples), list(samples)).labels("fit")


def test_shuffling_is_seeded_private_and_complete():
    data = small()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    orders = [torch.cat([b.ids for b in data.batches("fit", 5, seed=s)]) for s in (1, 1, 2)]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])
    assert torch.equal(orders[0].sort().values, torch.arange(12))
    batch = next(data.batches("fit", 5, seed=1))
    assert torch.equal(batch.labels, data.labels("fit")[batch.ids])
    assert torch.equal(batch.inputs, data.dataset("fit").inputs[batch.ids].float() / 255)


class Keyed(Subset):
    """A subset that tells its samples by name."""

    def __init__(self, names):
        self.dataset, self.names = images(), names

    def __len__(self):
        return len(self.names)

    def __getitem__(self, i):
        return self.dataset[int(self.names[i][1:])]


def test_subsets_that_do_not_meet_are_splits():
    one, half = images(40), np.random.default_rng(0).permutation(40)
    parts = [
        Subset(one, half[:20]),
        Subset(Subset(one, half[20:].tolist()), range(10)),
        Subset(one, torch.tensor(half[30:])),
    ]
    assert [Data(*parts).size(split) for split in ("fit", "val", "test")] == [20, 10, 10]
    assert Data(Keyed(["n1", "n2", "n0"]), Keyed(["n3"]), Keyed(["n4"])).size("fit") == 3


def test_a_million_samples_are_told_apart_quickly():
    root = range(2_000_000)
    parts = [Subset(root, torch.arange(start, 1_200_000, 3)) for start in range(3)]
    before = time.process_time()
    assert not shared(parts[0], parts[1])
    assert shared(parts[0], Subset(root, torch.arange(0, 1_000, 3))) == 334
    assert time.process_time() - before < 5


@pytest.mark.parametrize(("options", "sizes"), [({"limit": 7}, [5, 2]), ({"drop_last": True}, [5, 5])])
def test_limit_and_drop_last(options, sizes):
    assert [len(b) for b in small().batches("fit", 5, **options)] == sizes


def test_any_map_style_dataset_works():
    data = Data(Pairs(9), Pairs(6, 1), Subset(Pairs(20), [0, 1, 2]))
    batch = next(data.batches("fit", 4))
    assert set(batch.inputs) == {"ids", "mask"}
    assert batch.inputs["ids"].shape == (4, 2)
    assert batch.labels.tolist() == [0, 1, 2, 0]
    assert data.n_classes == 3
    assert data.subset(4, seed=0).labels("fit").shape == (4,)


def sorted_by_class(data):
    dataset, order = data.dataset("fit"), data.labels("fit").argsort()
    return Data(Subset(dataset, order.tolist()), data.dataset("val"), data.dataset("test"))


def test_a_few_samples_stand_for_a_split_in_whatever_order_it_is(digits):
    first = torch.cat([batch.ids for batch in digits.few("fit", 500)])
    assert first.tolist() == list(range(500))
    batches = list(sorted_by_class(digits).few("fit", 500, 250))
    assert [len(batch.ids) for batch in batches] == [250, 250]
    for batch in batches:  # every batch, too, since BatchNorm statistics are means over batches
        assert batch.labels.bincount(minlength=10).min() > 10
    assert len(torch.cat([batch.ids for batch in batches]).unique()) == 500
    assert sum(len(batch.ids) for batch in digits.few("test", 10_000)) == digits.size("test")


LABELS = {
    "in turn": (torch.arange(1000) % 10, True),
    "sorted": (torch.arange(1000) // 100, False),
    "one class first, then all": (torch.cat([torch.zeros(100), torch.arange(900) % 10]).long(), False),
    "a thousand classes, interleaved": (torch.arange(5000) % 1000, True),
    "of words": (torch.zeros(1000, 7).long(), True),
    "unknown": (None, False),
}


@pytest.mark.parametrize("name", LABELS)
def test_the_first_samples_are_taken_where_they_are_fair(name):
    labels, fair = LABELS[name]
    total = 1000 if labels is None else len(labels)
    assert torch.equal(few(labels, total, 200), torch.arange(200)) == fair
    assert (
        torch.equal(few(labels, total, 9999), torch.arange(total)) == fair
    )  # all of them, in an order that batches can bear
    assert torch.equal(few(labels, total, 9999).sort().values, torch.arange(total))


def test_sequence_labels_may_hold_the_ignored_value():
    labels = torch.tensor([[1, -100], [0, 2]])
    sets = [TensorDataset(torch.rand(2, 3) + i, labels) for i in range(3)]
    assert next(Data(*sets).batches("fit", 2)).labels.shape == (2, 2)


def tuples(last: float = 0.0) -> list:
    rows = torch.arange(4.0 * 2000).view(4, 2000)
    rows[0, 1000] += last
    return [((row, torch.tensor(i)), i % 2) for i, row in enumerate(rows)]


def test_samples_that_are_tuples_are_divided_and_hashed_by_their_tensors():
    data = small(fit=tuples())
    (batch,) = data.batches("fit", 4)
    wide, narrow = batch.inputs
    assert (wide.shape, narrow.tolist()) == ((4, 2000), [0, 1, 2, 3])
    assert [[len(part), *part.inputs[1].tolist()] for part in batch.pieces(3)] == [[3, 0, 1, 2], [1, 3]]
    assert data.fingerprint == small(fit=tuples()).fingerprint != small(fit=tuples(1.0)).fingerprint


def test_fingerprint_tells_content_order_and_split_apart():
    base = small().fingerprint
    assert base == small().fingerprint
    fit = images(12)
    other = Images(fit.inputs.clone(), fit.labels)
    other.inputs[3, 0, 0, 0] ^= 1
    flipped = Images(fit.inputs.flip(0), fit.labels.flip(0))
    swapped = small(val=images(9, seed=2), test=images(6, seed=1))
    relabelled = Images(fit.inputs, (fit.labels + 1) % 3)
    found = {small(fit=one).fingerprint for one in (other, flipped, relabelled)} | {swapped.fingerprint, base}
    assert len(found) == 5


def test_the_test_split_has_an_identity_of_its_own():
    data, other = small(), images(9, seed=7)
    base = data.test_fingerprint
    swapped = small(test=Images(images(9, seed=2).inputs.flip(0), images(9, seed=2).labels))
    relabelled = data.relabelled({"test": 2 - data.labels("test")}, name="turned", classes="abc")
    noisy = [corrupted(data.subset(n), "noise", 0.1) for n in (3, 6)]
    named = small(fingerprint="f")
    same = {
        "fit": small(fit=images(12, seed=9)),
        "val": small(val=images(6, seed=9)),
        "subset": data.subset(3),
        "another subset": data.subset(6, seed=1),
        "shorter": data.shorter(val=2),
        "new fit labels": data.relabelled({"fit": 2 - data.labels("fit")}, name="turned", classes="abc"),
    }
    assert {name: found.test_fingerprint == base for name, found in same.items()} == dict.fromkeys(same, True)
    others = [small(test=other), swapped, relabelled, data.shorter(test=4), noisy[0], named]
    assert len({base, *(found.test_fingerprint for found in others)}) == 1 + len(others)
    assert noisy[0].test_fingerprint == noisy[1].test_fingerprint
    assert named.subset(3).test_fingerprint == named.test_fingerprint
    assert small(fingerprint="f", test_fingerprint="t").test_fingerprint == "t"


def test_a_test_split_is_read_once_for_all_subsets():
    class Counted(Pairs):
        read = 0

        def __getitem__(self, i):
            Counted.read += 1
            return super().__getitem__(i)

    data = Data(Pairs(9), Pairs(6, 1), Counted(5, 2))
    assert len({data.subset(n).subset(2).test_fingerprint for n in (3, 4, 5)}) == 1
    assert Counted.read == 2 * (5 + 1)  # once for its labels, once for its hash, each after a look at how large one is


def test_subset_is_balanced_disjoint_and_recorded():
    data = small(fit=images(60))
    parts = [data.subset(30, seed=3, part=part) for part in (0, 1)]
    chosen = [set(part.dataset("fit").ids.tolist()) for part in parts]
    assert chosen[0] | chosen[1] == set(range(60))
    assert not chosen[0] & chosen[1]
    assert parts[0].labels("fit").bincount().tolist() == [10, 10, 10]
    assert "30 of 60" in parts[0].describe()["splits"]
    assert parts[0].fingerprint != data.fingerprint
    assert data.subset(5).dataset("fit").ids.tolist() == [0, 1, 2, 3, 4]


def test_shorter_keeps_the_first_samples_to_choose_and_measure_on():
    data = small(fit=images(60), val=images(20, seed=1), test=images(30, seed=2))
    short = data.shorter(val=5, test=7)
    assert [short.size(split) for split in ("fit", "val", "test")] == [60, 5, 7]
    assert torch.equal(short.labels("test"), data.labels("test")[:7])
    assert short.n_classes == data.n_classes
    assert "val: the first 5; test: the first 7" in short.describe()["splits"]
    assert short.fingerprint != data.fingerprint
    assert data.shorter() is data.shorter(val=20, test=1000) is data


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: small(val=images(0)), "The val split of data is empty"),
        (lambda: small(fit=images(6, classes=1)), "All 6 fit labels of data are 0: expected two classes"),
        (
            lambda: small(classes=["a", "b"]),
            "4 labels of the fit split of data are out of range, the first is 2",
        ),
        (lambda: small(fit=Images(torch.zeros(2, 1, 2, 2), torch.tensor([0, -1]))), "the first is -1"),
        (
            lambda: (lambda x: Data(x, images(), x))(images()),
            "the fit and the test split of data have 12 samples in common",
        ),
        (
            lambda: (lambda x: Data(Subset(x, [0, 1, 2]), Subset(x, [3, 4]), Subset(Subset(x, [5, 4, 2]), [0, 1])))(
                images()
            ),
            "the val and the test split of data have 1 samples in common",
        ),
        (
            lambda: (lambda x: Data(images(), Subset(x, torch.tensor([2])), x))(images(seed=1)),
            "the val and the test split of data have 1 samples in common",
        ),
        (lambda: small().batches("train", 4), "no split 'train': expected 'fit', 'val' or 'test'"),
        (lambda: small().batches("fit", 0), "must be 1 or more, found 0"),
        (lambda: small().batches("test", 4, augment=True), "Only the fit split is augmented"),
        (lambda: small().subset(13), "subset of 13 samples .* more than the 12 fit samples"),
        (lambda: small().shorter(test=0), "a split needs 1 sample or more, found val=None and test=0"),
        (lambda: Images(torch.zeros(2, 4, 4), torch.zeros(2)), "found \\(2, 4, 4\\)"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(DataError, match=rf"(?i){message}"):
        make()


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([torch.zeros(2)] * 3, "expected pairs"),
        ([(torch.zeros(i + 1), i) for i in range(3)], "Samples 0 to 2 cannot be stacked .* resize or pad"),
        ([(torch.zeros(1), 0.5)] * 3, "labels of the fit split of data are of type torch.float64: expected integers"),
        (
            [(torch.zeros(1), i) for i in range(3)],
            "At least 1 label of the fit split .* the first is 2: expected 0 to 1",
        ),
    ],
)
def test_bad_samples_are_met_when_read(samples, message):
    data = Data(samples, list(samples), list(samples), n_classes=2)
    with pytest.raises(DataError, match=message):
        next(data.batches("fit", 3))


def test_nothing_moves_on_a_cpu():
    data = small()
    assert data.on("cpu") is data


def test_images_in_memory_are_placed_and_deliver_the_same(monkeypatch):
    monkeypatch.setattr("modelstitch.data.subsets._free", lambda device: 10**6)
    data = small(fit=images(30)).subset(12)
    placed = data.on("meta")  # stands in for a GPU: it has shapes and no values
    assert placed is not data
    batch = next(placed.batches("fit", 5, seed=1))
    assert (batch.inputs.device.type, batch.labels.device.type) == ("meta", "cpu")
    assert torch.equal(batch.labels, next(data.batches("fit", 5, seed=1)).labels)


def test_images_stay_where_a_device_has_no_room(monkeypatch):
    monkeypatch.setattr("modelstitch.data.subsets._free", lambda device: 100)
    data = small()
    assert data.on("meta") is data


def test_a_notebook_shows_the_splits():
    x = torch.rand(30, 1, 2, 2)
    parts = [(x[at : at + 10], torch.arange(10) % 2) for at in (0, 10, 20)]
    html = Data(*parts, name="<b>mine", notes=["one note"])._repr_html_()
    assert "&lt;b&gt;mine" in html
    assert html.count("<td>10</td>") == 3
    assert "2 classes, 1x2x2 a sample, augmentation: none." in html
    assert "<p>one note</p>" in html
