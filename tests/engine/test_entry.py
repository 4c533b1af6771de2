"""Data and views are the same at every read, and labels of language models are the next tokens.

Asked at every entry.
"""

from __future__ import annotations

import random
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import modelstitch as ms
from modelstitch.data.data import Data
from modelstitch.engine.entry import check_entry
from modelstitch.errors import DataError, NetworkError

X = torch.randn(90, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


class Changed:
    """A map-style dataset whose samples are changed when they are read."""

    def __init__(self, change, n=30):
        self.change, self.n, self.x, self.reads = change, n, X.clone(), 0

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        self.reads += 1
        return self.change(self, i)


def label(i):
    return int(Y[i])


def kept(one, i):
    one.x[i] += 1  # the dataset's own tensor
    return one.x[i], label(i)


def longer(one, i):
    one.n += 1
    return X[i], label(i)


def rarely(one, i):
    return X[i] + (torch.rand(()) < 0.2), label(i)


RANDOM = {
    "torch": lambda one, i: (X[i] + torch.randn(6), label(i)),
    "numpy": lambda one, i: (X[i] + np.random.normal(), label(i)),
    "python": lambda one, i: (X[i] * random.random(), label(i)),
    "the clock": lambda one, i: (X[i] + time.perf_counter_ns() % 1000, label(i)),
    "a counter": lambda one, i: (X[i] + one.reads, label(i)),
    "samples that change": kept,
    "one in five": rarely,
    "dicts": lambda one, i: ({"x": X[i], "noise": torch.rand(3)}, label(i)),
}


def others(**splits):
    return Data(
        **{
            "fit": Changed(lambda one, i: (X[i], label(i))),
            "val": list(zip(X[30:60], Y[30:60].tolist())),
            "test": list(zip(X[60:], Y[60:].tolist())),
            "name": "mine",
            **splits,
        }
    )


def network(view=None, name="net"):
    layers = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))
    return ms.Network(layers.eval(), X[:2], name, view=view)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return network()


@pytest.mark.parametrize("split", ["fit", "val", "test"])
@pytest.mark.parametrize("cause", RANDOM)
def test_random_data_are_refused(cause, split):
    data = others(**{split: Changed(RANDOM[cause])})
    with pytest.raises(
        DataError, match=rf"The {split} split of mine is random: .*read twice, the inputs differ.*augment= of ms.Data"
    ):
        check_entry([], data)


def test_a_random_part_at_the_end_is_found():
    x = torch.zeros(3000, 6)
    late = Changed(lambda one, i: (x[i] + (torch.rand(()) if i > 2000 else 0), i % 2), n=3000)
    with pytest.raises(
        DataError, match=r"test split of mine is random: of samples \d+ to \d+, read twice, the inputs differ"
    ):
        check_entry([], others(test=late))


def test_random_labels_and_a_length_that_grows():
    with pytest.raises(
        DataError, match=r"val split of mine is random: of samples 0 to 15, read twice, the labels differ"
    ):
        check_entry([], others(val=Changed(lambda one, i: (X[i], int(torch.randint(2, ()))))))
    with pytest.raises(
        DataError, match=r"test split of mine had 30 samples before it was read and has \d+ now: expected a fixed"
    ):
        check_entry([], others(test=Changed(longer)))


def test_labels_that_a_dataset_lists_are_those_of_its_samples():
    known = Changed(lambda one, i: (X[i], 1 - label(i)))
    known.labels = Y[:30]
    with pytest.raises(DataError, match="fit split of mine has a list of labels that its samples do not have"):
        check_entry([], others(fit=known))


def test_what_is_drawn_by_the_index_is_taken_and_read_once_more_for_each_data():
    def drawn(one, i):
        return X[i] + torch.randn(6, generator=torch.Generator().manual_seed(i)), label(i)

    fit = Changed(drawn)
    data = others(fit=fit)
    check_entry([], data)
    assert fit.reads == 2 * 30
    check_entry([], data)
    assert fit.reads == 2 * 30


def test_the_generators_are_left_as_they_were(net):
    def thirsty(one, i):
        torch.rand(1), random.random(), np.random.rand()
        return X[i], label(i)

    torch.manual_seed(3), random.seed(3), np.random.seed(3)
    check_entry([net], others(fit=Changed(thirsty)))
    found = torch.rand(1).item(), random.random(), np.random.rand()
    torch.manual_seed(3), random.seed(3), np.random.seed(3)
    assert found == (torch.rand(1).item(), random.random(), np.random.rand())


DOORS = {
    "stitch": lambda a, b, data: ms.stitch(a, b, "0", data, objective="match"),
    "compare": lambda a, b, data: ms.compare(a, b, data, layers="0", controls=(), objective="match"),
    "matrix": lambda a, b, data: ms.matrix(a, b, data),
    "similarity": lambda a, b, data: ms.similarity(a, b, data),
    "second": lambda a, b, data: ms.stitch(a, b, "0", others(), objective="match", second=data),
    "measure": lambda a, b, data: ms.stitch(a, b, "0", others(), objective="match").measure(data),
}


@pytest.mark.parametrize("door", DOORS)
def test_every_entry_asks(net, door):
    with pytest.raises(DataError, match="test split of mine is random"):
        DOORS[door](net, net.named("other"), others(test=Changed(RANDOM["torch"])))


def test_a_random_dataset_is_named_before_another_study_is(net, tmp_path):
    for _ in range(2):
        with pytest.raises(DataError, match="is random"):
            ms.compare(net, net, others(test=Changed(RANDOM["torch"])), layers="0", controls=(), out=tmp_path / "runs")


def test_another_studys_data_may_be_random(net, tmp_path):
    options = {"layers": "0", "controls": (), "objective": "match", "both": False, "out": tmp_path / "runs"}
    ms.compare(net, net, others(), **options)
    with pytest.raises(ms.StitchError, match=r"made by another study: expected data = .* they may be random"):
        ms.compare(net, net, others(fit=Changed(lambda one, i: (X[i] + 1, label(i)))), **options)


def in_place(x):
    return x.sub_(0.5)


class Drawn:
    recipe = "noise"

    def __init__(self, own):
        self.own = own

    def __call__(self, inputs, generator):
        return inputs + torch.randn(inputs.shape, generator=None if self.own else generator)


def test_an_augmentation_draws_from_the_generator_it_is_given():
    check_entry([], others(augment=Drawn(False)))
    with pytest.raises(DataError, match="augmentation of mine draws from randomness of its own"):
        check_entry([], others(augment=Drawn(True)))
    with pytest.raises(
        DataError, match=r"augmentation <function .*has no recipe: expected a function of \(inputs, generator\)"
    ):
        others(augment=lambda x: x)


VIEWS = {
    "random": (
        lambda x: x + torch.randn_like(x),
        r"The view of 'seen' is random: called twice .*set modules in it to eval\(\)",
    ),
    "numpy": (lambda x: x * float(np.random.rand()), r"The view of 'seen' is random"),
    "dropout": (nn.Dropout(0.5), r"The view of 'seen' is random"),
    "in place": (in_place, r"The view of 'seen' changes the samples that it is given: .*samples.clone\(\)"),
}


@pytest.mark.parametrize("case", VIEWS)
def test_views_are_called_twice(case):
    view, words = VIEWS[case]
    with pytest.raises(NetworkError, match=words):
        check_entry([network(view, "seen")], others())


BATCHED = {
    "mean of the batch": lambda x: x - x.mean(0),
    "deviation of the batch": lambda x: x / x.std(0, unbiased=False),
    "largest of the batch": lambda x: x / x.abs().max(),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", BATCHED)
def test_a_view_prepares_each_sample_by_itself(case):
    net = ms.Network(nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 2)), X[:2], "net", view=BATCHED[case])
    with pytest.raises(NetworkError, match=r"view of 'net' gives a sample other values alone than in a batch of 30"):
        check_entry([net], others())


def test_a_sample_that_is_not_finite_is_no_fault_of_the_view():
    wrong = X.clone()
    wrong[30, 2] = float("nan")  # the first of the validation split
    check_entry([network(lambda x: x * 2)], others(val=list(zip(wrong[30:60], Y[30:60].tolist()))))


def test_other_views_are_taken():
    check_entry([network(nn.Dropout(0.5).eval(), "still"), network(lambda x: (x - 0.1) / 2, "scaled")], others())


IDS = torch.randint(3, 30, (90, 8), generator=torch.Generator().manual_seed(0))
NEXT = torch.cat([IDS[:, 1:], torch.full((90, 1), -100)], 1)
PADDED = IDS.clone()
PADDED[:, 5:] = 0
HIDDEN = torch.where(
    torch.rand(IDS.shape, generator=torch.Generator().manual_seed(1)) < 0.3, IDS, torch.full_like(IDS, -100)
)
MASKED = torch.where(HIDDEN >= 0, torch.full_like(IDS, 1), IDS)


def tokens(ids, labels, key="input_ids", **more):
    rows = [
        ({key: a, "attention_mask": (a > 0).long(), **{k: v[i] for k, v in more.items()}}, b)
        for i, (a, b) in enumerate(zip(ids, labels))
    ]
    return Data(rows[:30], rows[30:60], rows[60:], name="text")


UNSHIFTED = {
    "labels are the ids": lambda: tokens(IDS, IDS),
    "padding left out": lambda: tokens(PADDED, torch.where(PADDED > 0, PADDED, -100)),
    "a prompt left out": lambda: tokens(IDS, torch.where(torch.arange(8) > 3, IDS, -100)),
    "a bare tensor": lambda: Data(*((IDS[a : a + 30], IDS[a : a + 30]) for a in (0, 30, 60)), name="text"),
    "a key of one's own": lambda: tokens(IDS, IDS, key="tokens"),
    "only in one split": lambda: Data(
        (IDS[:30], NEXT[:30]), (IDS[30:60], NEXT[30:60]), (IDS[60:], IDS[60:]), name="text"
    ),
    "of a decoder": lambda: tokens(IDS.flip(0), IDS, decoder_input_ids=IDS),
}
RIGHT = {
    "the next token": lambda: tokens(IDS, NEXT),
    "the next token of padded text": lambda: tokens(PADDED, torch.where(NEXT > 0, NEXT, -100)),
    "hidden tokens": lambda: tokens(MASKED, HIDDEN),
    "one token over and over": lambda: tokens(torch.full_like(IDS, 5), torch.full_like(IDS, 5)),
    "a pattern of one token after another": lambda: tokens(torch.full_like(IDS, 5), torch.where(NEXT > 0, 5, -100)),
    "a class": lambda: tokens(IDS, torch.arange(90) % 2),
    "classes of tokens": lambda: tokens(IDS, IDS % 5),
    "the text of an encoder": lambda: tokens(
        IDS, IDS, decoder_input_ids=torch.cat([torch.zeros(90, 1).long(), IDS[:, :-1]], 1)
    ),
}


@pytest.mark.parametrize("case", UNSHIFTED)
def test_labels_that_are_the_input_ids_are_refused(case):
    words = (
        r"The labels of the (fit|test) split of text are its \w+, unshifted: expected the next token "
        r".*labels\[:-1\] = \w+\[1:\]"
    )
    with pytest.raises(DataError, match=words):
        check_entry([], UNSHIFTED[case]())


@pytest.mark.parametrize("case", RIGHT)
def test_right_labels_are_taken(case):
    check_entry([], RIGHT[case]())


def test_similarity_looks_at_no_labels():
    check_entry([], UNSHIFTED["labels are the ids"](), labels=False)


def test_large_samples_are_not_all_read():
    wide = torch.zeros(2**20)
    data = others(fit=Changed(lambda one, i: (wide, label(i)), n=90))
    check_entry([], data)
    assert data.dataset("fit").reads <= 2 * 48 + 32  # 64 MB are 16 of them


def test_what_is_no_data_is_refused():
    with pytest.raises(DataError, match=r"The data are no modelstitch.Data"):
        check_entry([], SimpleNamespace())


class Sized(nn.Module):
    """A convolution and an average over all positions, by a window that is read as a number, or not."""

    def __init__(self, fixed):
        super().__init__()
        self.conv, self.head, self.fixed = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4, 10), fixed

    def forward(self, x):
        found = torch.relu(self.conv(x))
        found = F.avg_pool2d(found, found.shape[3]) if self.fixed else F.adaptive_avg_pool2d(found, 1)
        return self.head(found[:, :, 0, 0])


def sized(fixed, size, **options):
    return ms.Network(Sized(fixed).eval(), torch.zeros(2, 1, size, size), "net", **options)


def asked(call, one, two, data):
    return getattr(ms, call)(one, two, *(["conv"] if call == "stitch" else []), data)


@pytest.mark.slow
@pytest.mark.parametrize("call", ["stitch", "compare", "matrix", "similarity"])
def test_a_network_that_is_another_function_at_the_datas_size_is_refused(digits, call):
    one, two = sized(True, 4), sized(True, 8).named("two")
    with pytest.raises(
        NetworkError, match=r"'net' was traced with samples of \(1, 4, 4\) and computes something else .* \(1, 8, 8\)"
    ):
        asked(call, one, two, digits)


@pytest.mark.parametrize(
    ("fixed", "size", "view"), [(True, 8, None), (False, 8, None), (True, 4, lambda x: F.adaptive_avg_pool2d(x, 4))]
)
def test_other_sizes_are_taken(digits, fixed, size, view):
    found = sized(fixed, size, view=view)
    stitched = ms.stitch(found, found, "conv", digits, family="identity", objective="match")
    assert stitched.penalty == 0


def test_a_module_that_refuses_the_size_itself_is_left_to_its_forward():
    class Strict(Sized):
        def forward(self, x):
            assert x.shape[-1] == 4
            return super().forward(x)

    ms.Network(Strict(False).eval(), torch.zeros(2, 1, 4, 4), "strict").check_sample(torch.zeros(2, 1, 8, 8))


@pytest.mark.slow
@pytest.mark.parametrize("call", ["stitch", "compare", "matrix", "similarity"])
def test_a_forgotten_view_is_told_in_both_sizes(digits, call):
    one, two = sized(False, 8), sized(False, 4).named("small")
    with pytest.raises(
        NetworkError, match=r"'small' was traced with samples of \(1, 4, 4\), the data give \(1, 8, 8\): .*view="
    ):
        asked(call, one, two, digits)


RETURNS = {
    "one sample lost": (lambda x: x[1:], r"The view of 'net' returned 1 samples for 2: expected one for each"),
    "numpy": (lambda x: x.numpy(), r"The view of 'net' returned numpy.ndarray: expected a tensor of 2 samples"),
    "one number": (lambda x: x.sum(), r"returned 1 samples for 2"),
    "it fails": (
        lambda x: x.image,
        r"fails on a batch of the data \(AttributeError: .*a tensor \(2, 1, 8, 8\) of torch.float32; give",
    ),
}


@pytest.mark.parametrize("case", RETURNS)
def test_what_a_view_returns_is_looked_at(digits, case):
    view, text = RETURNS[case]
    found = sized(False, 8, view=view)
    with pytest.raises(NetworkError, match=text):
        ms.stitch(found, found, "conv", digits, objective="match")


def test_a_view_that_loses_a_sample_later_is_refused_there(digits):
    found = sized(False, 8, view=lambda x: x if len(x) <= 2 else x[1:])
    with pytest.raises(NetworkError, match=r"returned \d+ samples for \d+"):
        ms.stitch(found, found, "conv", digits, objective="match")


def test_a_network_without_numbers_is_refused():
    with torch.device("meta"):
        module = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    bare = ms.Network(module, X[:2].to("meta"), "bare")
    with pytest.raises(NetworkError, match=r"^The network 'bare' was traced on the meta device, where nothing has a"):
        check_entry([bare], others())
