"""Looks at a part of the validation split: who is looked at on which samples, and which state is kept."""

import pytest
import torch

from modelstitch import compare
from modelstitch.engine.fit.looks import Looking
from modelstitch.engine.fit.options import FitSpec
from modelstitch.engine.senders import NetworkSender
from modelstitch.engine.sweep import Sweep

CPU = torch.device("cpu")
FIT = {"steps": 6, "eval_every": 2, "batch_size": 50, "start_samples": 200, "device": "cpu", "both": False}


def looking(pair, data, look, seed=0):
    spec = FitSpec(batch_size=20, look=look)
    sweep = Sweep(NetworkSender(pair[0]), pair[1], data, spec, CPU, seed=seed)
    return Looking(sweep, None)


def ids(found, start, stop):
    return torch.cat([batch.ids for batch in found._batches(start, stop)])


def test_a_look_reads_a_fair_part_the_same_for_a_seed(pair, digits):
    size, labels = digits.size("val"), digits.labels("val")
    one, again, other = (looking(pair, digits, 50, seed) for seed in (0, 0, 1))
    first = ids(one, 0, 50)
    assert len(set(first.tolist())) == 50
    assert torch.equal(first, ids(again, 0, 50))
    assert not torch.equal(first, ids(other, 0, 50))
    assert sorted(ids(one, 0, size).tolist()) == list(range(size))
    counts = labels[first].bincount(minlength=10)
    assert int(counts.max() - counts.min()) <= 2  # ten classes of about as many
    assert max(len(batch) for batch in one._batches(0, 50)) == 40


@pytest.mark.parametrize("look", [100, 200])
def test_a_split_of_no_more_is_read_whole(pair, digits, look):
    data = digits.shorter(val=100)
    assert looking(pair, data, look)._batches(0, look) is None


@pytest.mark.slow
def test_a_small_split_gives_the_numbers_of_a_whole_look_and_the_names_of_cells(pair, digits):
    data = digits.shorter(val=60)
    one, other = (compare(*pair, data, layers=["block2"], controls=(), **FIT, look=look) for look in (60, 1024))
    assert [r.cell for r in one.records] == [r.cell for r in other.records]
    assert [r.history for r in one.records] == [r.history for r in other.records]
    few = compare(*pair, data, layers=["block2"], controls=(), **FIT, look=20).records[0]
    assert few.cell != one.records[0].cell  # its state may be another
    assert few["config"]["fit"]["look"] == 20
    solved = [compare(*pair, data, layers=["block2"], controls=(), objective="match", look=n) for n in (20, 1024)]
    assert len({r.records[0].cell for r in solved}) == 1  # nothing is chosen


class Rival:
    """A run whose two states err on given shares of samples."""

    def __init__(self, open_for):
        self.open_for, self.read, self.swapped, self.decided = open_for, [], False, False
        self.stitcher = torch.nn.Identity()
        self.stream = None

    @property
    def undecided(self):
        return len(self.read) < self.open_for

    def swap(self):
        self.swapped = not self.swapped

    def compare(self, best, last):
        assert not self.swapped
        assert (best, last) == ("best", "last")
        self.read.append(self.seen)

    def decide(self, size):
        self.decided = True


def test_undecided_states_are_read_on_to_the_end_of_the_split(pair, digits, monkeypatch):
    found = looking(pair, digits.shorter(val=100), 16)
    runs, asked = [Rival(n) for n in (0, 1, 9)], []

    def outcomes(some, start, stop):
        asked.append((len(some), start, stop))
        for run in some:
            run.seen = (start, stop)
        return ["best" if run.swapped else "last" for run in some]

    monkeypatch.setattr(found, "_outcomes", outcomes)
    found.choose(runs)
    assert all(run.decided for run in runs)
    assert [run.read for run in runs] == [[], [(16, 32)], [(16, 32), (32, 64), (64, 100)]]
    assert [count for count, *_ in asked] == [2, 2, 1, 1, 1, 1]


@pytest.mark.slow
def test_the_last_state_is_held_against_the_best_one_on_the_whole_split(pair, digits):
    """What is kept errs no more there than the last state, whatever eight samples preferred on the way."""
    options = {
        **FIT,
        "steps": 8,
        "eval_every": 1,
        "init": "random",
        "learning_rate": 0.05,
        "adapt_rate": False,
        "patience": 9,
        "stop_early": False,
    }
    kept = []
    for seed in (0, 1):
        few, whole = (
            compare(*pair, digits, layers=["block1"], controls=(), seeds=[seed], look=look, **options).records[0]
            for look in (8, 200)
        )
        errors = {step: error for step, error, _ in whole.history}
        kept.append(next(int(m.value) for m in few.metrics if m.name == "steps"))
        assert errors[kept[-1]] <= errors[8]
        assert [step for step, *_ in few.history] == list(range(9))
    assert max(kept) > 0
