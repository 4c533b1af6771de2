"""Cells of one sweep: cut to the memory there is, fitted and measured together, with the controls of their top."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from modelstitch.engine import senders
from modelstitch.engine.fit.options import FitSpec
from modelstitch.errors import FitError
from modelstitch.study.plan import plan, sweeps_of
from modelstitch.study.prepared import data_config, describe_donor
from modelstitch.study.question import Question
from modelstitch.study.sweeps import sweep
from modelstitch.study.sweeps.bench import Bench
from modelstitch.study.sweeps.sweep import chunked, readings, run_reading, run_sweep
from modelstitch.support import resume
from modelstitch.support.resume import Unfinished

FIT = FitSpec(samples=200, steps=8, eval_every=8, batch_size=50)


def class_noise(pair, data, starts):
    """The cells of class-noise under the second network, which take so many starts."""
    question = Question(layers=("stem", "block2"), controls=("class-noise",), starts=starts, fit=FIT)
    found = plan([tuple(map(describe_donor, pair))], question, data_config(data))
    return [cell for cell in found if cell.config["control"] == "class-noise"]


CONTROLS = ("self", "random", "identity", "class-noise", "shuffled")
ASKED = Question(
    layers=("block1", "block2"),
    controls=CONTROLS,
    fit=FitSpec(samples=200, steps=4, eval_every=2, start_samples=100, batch_size=64),
)


@pytest.fixture
def small(digits):
    return digits.shorter(val=100, test=150)


@pytest.fixture
def fitted(pair, small):
    """The sweeps of a pair and its controls, and what makes a bench for them."""
    groups = sweeps_of(plan([tuple(map(describe_donor, pair))], ASKED, data_config(small)))

    def bench(unfinished=None):
        made = Bench({n.name: n for n in pair}, small, ASKED.fit, torch.device("cpu"), unfinished=unfinished)
        made.all_donors([cell for group in groups for cell in group])
        return made

    return groups, bench


def run_all(groups, bench):
    return [f for reading in readings(groups, bench) for f in run_reading(reading, bench, lambda group: True)]


def plain(found):
    return [replace(fitted.record, provenance={}) for fitted in found]


def test_cells_run_as_many_at_a_time_as_memory_takes(cells, bench, pair):
    some = cells["pair"]
    ((size, part),) = chunked(some, *pair, bench)
    assert part == [0, 1]
    bench.memory = size - 1
    assert [part for _, part in chunked(some, *pair, bench)] == [[0], [1]]
    together = [f.record for f in run_sweep(some, bench)]
    assert [r.cell for r in together] == [c.hash for c in some]
    assert all(r.metric("penalty") is not None for r in together)


def test_of_several_starts_the_best_on_validation_data_is_kept(pair, digits, bench):
    bench.spec, looks = FIT, {}
    bench.watch = lambda title, _, values: looks.setdefault(title, []).append((values["val/error"], values["val/loss"]))
    cells = class_noise(pair, digits, 3)
    found = [f.record for f in run_sweep(cells, bench)]
    assert [r.cell for r in found] == [c.hash for c in cells]
    for record in found:
        layer = record.top.layer
        starts = [seen for title, seen in looks.items() if f"@{layer}" in title]
        best = min(starts, key=min)
        assert [tuple(look[1:]) for look in record.history] == best
        said = f"the best of {len(starts)} starts, by validation error"
        assert (said in record.notes) == (len(starts) > 1)
    assert len(looks) > len(cells)  # one at least has failed at first


@pytest.mark.slow
def test_starts_that_were_stopped_go_on_to_the_same_records(pair, digits, bench, tmp_path, monkeypatch):
    bench.spec, cells = FIT, class_noise(pair, digits, 3)
    whole = [f.record for f in run_sweep(cells, bench)]
    monkeypatch.setattr(resume, "EVERY", 0.0)
    monkeypatch.setattr(resume, "SHARE", 1e9)
    bench.unfinished = tmp_path

    def stop(title, step, values):
        if "start 2" in title and step:
            raise KeyboardInterrupt

    bench.watch = stop
    with pytest.raises(KeyboardInterrupt):
        list(run_sweep(cells, bench))
    assert len(list(tmp_path.iterdir())) == 2
    bench.watch = None
    again = [f.record for f in run_sweep(cells, bench)]
    assert [(r.cell, r.history, r.notes) for r in again] == [(r.cell, r.history, r.notes) for r in whole]
    assert [r.metric("penalty").value for r in again] == [r.metric("penalty").value for r in whole]
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_controls_of_a_top_share_one_read_of_the_test_split(fitted, monkeypatch):
    groups, bench = fitted
    seen, splits = senders.view_of, []
    alone = [fitted for group in groups for fitted in run_sweep(group, bench())]

    runs = []
    on = bench()
    final = sweep.measure

    def measuring(*given, **how):
        with monkeypatch.context() as patch:
            patch.setattr(senders, "view_of", lambda network, *r: runs.append(network.name) or seen(network, *r))
            splits.append(len(given[0]))
            return final(*given, **how)

    monkeypatch.setattr(sweep, "measure", measuring)
    together = run_all(groups, on)
    assert splits == [1, len(groups) - 1] == [1, 4]  # the pair is recorded before its controls are fitted
    batches = runs.count("zero (random, seed 0)")
    assert Counter(runs) == {"zero (random, seed 0)": batches, "zero": 2 * batches, "one": 2 * batches}
    assert [f.record.cell for f in together] == [f.record.cell for f in alone]
    for one, other in zip(together, alone):
        assert one.record.metrics == other.record.metrics, "to the last bit: nobody sees what else was read beside"
        assert one.record.history == other.record.history


CASES = {
    "closed forms": {"objective": "match"},
    "fresh statistics": {"normalisation": "recalibrated"},
    "trained further": {"unfreeze": "stitcher", "controls": ("self",)},
}


@pytest.mark.parametrize("name", CASES)
def test_what_a_stop_would_lose_is_measured_by_itself(pair, small, name):
    asked = Question(**{"layers": ("block2",), "controls": ("self", "shuffled"), **CASES[name]})
    groups = sweeps_of(plan([tuple(map(describe_donor, pair))], asked, data_config(small)))
    bench = Bench({n.name: n for n in pair}, small, asked.fit, torch.device("cpu"))
    assert [reading.groups for reading in readings(groups, bench)] == [[group] for group in groups]


def test_memory_says_how_many_sweeps_wait(fitted):
    groups, bench = fitted
    on = bench()
    assert [len(reading.groups) for reading in readings(groups, on)] == [1, 4]
    on.memory = 2 * max(sum(sweep.cell_bytes(g, *[on.networks["one"]] * 2, on)) for g in groups)
    assert max(len(reading.groups) for reading in readings(groups, on)) < 4
    on.memory = 1
    assert [len(reading.groups) for reading in readings(groups, on)] == [1] * 5


def test_sweeps_before_one_that_fails_are_measured(fitted, monkeypatch):
    groups, bench = fitted
    opened = sweep.job_of

    def failing(cells, *rest):
        if cells[0].config["control"] == "class-noise":
            raise FitError("no room")
        return opened(cells, *rest)

    monkeypatch.setattr(sweep, "job_of", failing)
    found = []
    _, reading = readings(groups, on := bench())
    with pytest.raises(FitError, match="no room"):
        found.extend(fitted for fitted in run_reading(reading, on, lambda group: True))
    assert {f.record.control for f in found} == {"self", "random"}


class Killed(BaseException):
    pass


@pytest.fixture
def stoppable(fitted, monkeypatch, tmp_path):
    """Run three controls, killed after so many states; what was found, what was written, and what was taken up."""
    groups, bench = (
        [group for group in fitted[0] if group[0].config["control"] in ("self", "random", "shuffled")],
        fitted[1],
    )
    write, train, folder = Unfinished.write, sweep.train, tmp_path / "unfinished"

    def run(writes=None, *, due=False, kept=True):
        written, taken = [], []

        def writing(self, state):
            write(self, state)
            written.append(self.path.name)
            if len(written) == writes:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(Unfinished, "due", due)
            patch.setattr(Unfinished, "write", writing)
            patch.setattr(sweep, "train", lambda *given, **how: taken.append(given[3]) or train(*given, **how))
            try:
                found = plain(run_all(groups, bench(folder if kept else None)))
            except Killed:
                return None, written, taken
        assert not list(folder.glob("*"))
        return found, written, taken

    assert len(groups) == 3
    return run


@pytest.mark.slow
def test_sweeps_that_wait_go_on_where_they_were_killed(stoppable):
    """Fitted ones take no step again, and the measurement is not begun again: to the last bit."""
    whole, *_ = stoppable(kept=False)
    assert stoppable(2)[0] is None
    found, written, taken = stoppable()
    assert found == whole
    assert [state is not None for state in taken] == [True, True, False]
    assert len(written) == 2  # the last sweep, and the measurement at its end
    assert stoppable(4)[0] is None
    found, written, taken = stoppable()
    assert found == whole
    assert all(state is not None for state in taken)
    assert written == []


@pytest.mark.slow
def test_they_go_on_from_every_step(stoppable):
    whole, written, _ = stoppable(due=True)
    for at in range(1, len(written), 4):
        assert stoppable(at, due=True)[0] is None
        found, again, _ = stoppable(due=True)
        assert found == whole
        assert len(again) == len(written) - at


def test_a_state_that_was_left_behind_the_last_record_goes(fitted, tmp_path):
    groups, bench = fitted
    on = bench(tmp_path / "unfinished")
    on.asked = [cell for group in groups for cell in group]
    _, reading = readings(groups, on)
    reading.pieces.piece("test").write({})
    assert readings([], on) == []
    assert not on.unfinished.exists()
