"""What stands behind the question mark in the name of data."""

import pytest
import torch

from modelstitch.data.readers.source import drawn, parted, three
from modelstitch.data.subsets import Held
from modelstitch.errors import DataError


def test_place_and_options():
    assert parted("a/b.npz?x=1&y=a,b", ("x", "y"), "array") == ("a/b.npz", {"x": "1", "y": "a,b"})
    assert parted("a", ("x",), "array") == ("a", {})


@pytest.mark.parametrize(
    ("spec", "words"),
    [("a?x", "option 'x' cannot be read"), ("a?z=1", "option 'z' is unknown: expected x or y"), ("a?x=", "cannot be")],
)
def test_options_that_are_none(spec, words):
    with pytest.raises(DataError, match=words):
        parted(spec, ("x", "y"), "array")


WHOLE = Held(torch.arange(100)[:, None].float(), torch.arange(100) % 4)


def test_every_sample_is_in_one_split_and_the_test_split_stays():
    found, rule = three({"fit": WHOLE}, "it", "arrays", seed=0, limit=None)
    other, _ = three({"fit": WHOLE}, "it", "arrays", seed=1, limit=None)
    assert {name: len(part) for name, part in found.items()} == {"fit": 72, "val": 8, "test": 20}
    assert sorted(torch.cat([part.ids for part in found.values()]).tolist()) == list(range(100))
    assert torch.equal(found["test"].ids, other["test"].ids)
    assert not torch.equal(found["val"].ids, other["val"].ids)
    assert found["test"].labels.bincount().tolist() == [5, 5, 5, 5]
    assert "seed 0" in rule


def test_own_splits_stay_and_a_limit_cuts_them():
    given = {
        "fit": WHOLE,
        "val": Held(torch.zeros(9, 1), torch.arange(9)),
        "test": Held(torch.ones(30, 1), torch.ones(30)),
    }
    found, _ = three(given, "it", "arrays", seed=0, limit=10)
    assert {name: len(part) for name, part in found.items()} == {"fit": 10, "val": 9, "test": 10}


def test_numbers_are_drawn_as_they_come():
    assert sorted(drawn(Held(torch.zeros(5, 1), torch.rand(5)), 0).tolist()) == [0, 1, 2, 3, 4]


def test_too_few_or_none_to_fit_on():
    with pytest.raises(DataError, match="it has folders of test and none to fit on"):
        three({"test": WHOLE}, "it", "folders", seed=0, limit=None)
    with pytest.raises(DataError, match="it has 2 samples: expected 3 at least"):
        three({"fit": Held(torch.zeros(2, 1), torch.arange(2))}, "it", "arrays", seed=0, limit=None)
