"""What is said beside numbers that tell little."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from modelstitch.data.data import SPLITS, Data
from modelstitch.engine.scores import MATCHED, need_scores, notes_on
from modelstitch.errors import DataError

TEN = torch.arange(200) % 10
TOP = SimpleNamespace(name="b")


class Samples:
    """Samples whose labels are known without reading them, or are not."""

    def __init__(self, labels, known=True):
        self._labels = labels
        if known:
            self.labels = labels

    def __len__(self):
        return len(self._labels)

    def __getitem__(self, i):
        return torch.full((1,), float(i)), self._labels[i]


def data(known=True, **labels):
    sets = (Samples(labels.get(split, TEN), known) for split in SPLITS)
    return Data(*sets, n_classes=10, classes=labels.get("classes"))


def notes(samples, error=5.0, splits=SPLITS, unit="points"):
    return notes_on(TOP, SimpleNamespace(unit=unit, error=error), samples, splits)


CASES = {
    "nothing": (data(), {}, []),
    "chance": (data(), {"error": 89.0}, ["hardly better than chance for 10 classes"]),
    "worse than chance": (
        data(),
        {"error": 97.0},
        ["worse than chance for 10 classes", "classes stand in the data's order"],
    ),
    "no percent": (data(), {"error": 89.0, "unit": "nats"}, []),
    "few to test": (data(test=TEN[:99]), {}, ["99 test samples are few"]),
    "enough to test": (data(test=TEN[:100]), {}, []),
    "few to choose with": (data(val=TEN[:29]), {}, ["29 validation samples are few"]),
    "few, but nothing is chosen": (data(val=TEN[:29]), {"splits": MATCHED}, []),
    "a class is missing": (
        data(test=TEN[TEN > 1]),
        {},
        ["of the 10 classes some have no sample: 2 in test (the first is 0); errors say nothing of those"],
    ),
    "the last is missing, by name": (
        data(fit=TEN[TEN < 9], val=TEN[TEN != 3], classes=list("abcdefghij")),
        {},
        ["1 in fit (the first is j), 1 in val (the first is d);"],
    ),
    "labels from one": (
        data(**dict.fromkeys(SPLITS, TEN[TEN > 0])),
        {},
        ["1 in test (the first is 0); errors say nothing of those; labels that count from 1 need 1 subtracted"],
    ),
    "missing where nobody looks": (data(val=TEN[TEN != 3]), {"splits": MATCHED}, []),
    "labels that would have to be read": (data(known=False, test=TEN[TEN > 1]), {}, []),
    "labels of tokens": (data(**dict.fromkeys(SPLITS, TEN[:, None].expand(-1, 3))), {}, []),
}


@pytest.mark.parametrize("name", CASES)
def test_cautions(name):
    samples, options, expected = CASES[name]
    found = notes(samples, **options)
    assert bool(found) == bool(expected)
    assert all(note.startswith("caution: ") for note in found)
    assert all(any(part in note for note in found) for part in expected)


FORMS = {
    "a map of scores": ((3, 4, 4), torch.zeros(9, 4, 4), r"expected the classes last .*flatten\(2\).transpose\(1, 2\)"),
    "classes before positions": ((3, 7), torch.zeros(9, 7), r"expected the classes last and the positions in one line"),
    "one logit": ((1,), torch.zeros(9), r"one score for each class; of one logit .*torch.zeros_like\(z\)"),
    "several labels at once": ((4,), torch.zeros(9, 4), r"labels that hold at once are measured one at a time"),
}


@pytest.mark.parametrize("case", FORMS)
def test_scores_that_labels_cannot_be_held_against(case):
    shape, labels, text = FORMS[case]
    sets = (Samples(labels.long(), known=False) for _ in SPLITS)
    with pytest.raises(DataError, match=text):
        need_scores(
            SimpleNamespace(name="b", output_shape=shape, has_head=True, output_name="logits"),
            Data(*sets, n_classes=10),
        )
