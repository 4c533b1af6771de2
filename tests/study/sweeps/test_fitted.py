"""Sweeps are fitted, cut to the memory there is, with the controls of their top; many networks as one.

What was killed goes on where it was.
"""

from collections import Counter
from dataclasses import replace

import pytest
import torch

import modelstitch as ms
from modelstitch.engine import senders
from modelstitch.engine.fit.options import FitSpec
from modelstitch.errors import FitError
from modelstitch.study.plan import plan, sweeps_of
from modelstitch.study.prepared import compared, data_config, describe_donor
from modelstitch.study.question import Question
from modelstitch.study.run import run
from modelstitch.study.store import Store
from modelstitch.study.sweeps import fitted as fits
from modelstitch.study.sweeps.bench import left_together
from modelstitch.study.sweeps.fitted import run_family, run_sweeps
from modelstitch.study.sweeps.grouped import Reading, chunked, readings
from modelstitch.support import resume
from modelstitch.support.resume import Unfinished

FIT = FitSpec(samples=200, steps=8, eval_every=8, batch_size=50)


def class_noise(pair, data, starts):
    """The cells of class-noise under the second network, which take so many starts."""
    question = Question(layers=("stem", "block2"), controls=("class-noise",), starts=starts, fit=FIT)
    found = plan([tuple(map(describe_donor, pair))], question, data_config(data))
    return [cell for cell in found if cell.config["control"] == "class-noise"]


def run_sweep(cells, bench):
    return run_sweeps(Reading([cells]), bench)


def run_all(groups, bench):
    return [f for reading in readings(groups, bench) for f in run_sweeps(reading, bench)]


def plain(found):
    return [replace(fitted.record, provenance={}) for fitted in found]


def test_a_sweep_too_large_runs_in_parts(cells, bench):
    some = cells["pair"]
    ((size, _),) = chunked(some, bench)
    bench.memory = size - 1
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


@pytest.mark.parametrize(("beyond", "taken"), [(0.0, 1), (10.0, 3)], ids=["hopeless", "open"])
def test_another_start_is_taken_only_where_the_first_leaves_its_question_open(
    pair, digits, bench, monkeypatch, beyond, taken
):
    monkeypatch.setattr("modelstitch.engine.fit.run.BEYOND", beyond)  # times what is called far off
    bench.spec, titles = FIT, set()
    bench.watch = lambda title, *_: titles.add(title)
    (cell, *_) = class_noise(pair, digits, 3)  # at the stem, where it is more than 10 points off
    list(run_sweep([cell], bench))
    assert len(titles) == taken


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
    final = fits.measure

    def measuring(*given, **how):
        with monkeypatch.context() as patch:
            patch.setattr(senders, "view_of", lambda network, *r: runs.append(network.name) or seen(network, *r))
            splits.append(len(given[0]))
            return final(*given, **how)

    monkeypatch.setattr(fits, "measure", measuring)
    together = run_all(groups, on)
    assert splits == [1, len(groups) - 1] == [1, 4]  # the pair is recorded before its controls are fitted
    batches = runs.count("zero (random, seed 0)")
    assert Counter(runs) == {"zero (random, seed 0)": batches, "zero": 2 * batches, "one": 2 * batches}
    assert [f.record.cell for f in together] == [f.record.cell for f in alone]
    for one, other in zip(together, alone):
        assert one.record.metrics == other.record.metrics, "to the last bit: nobody sees what else was read beside"
        assert one.record.history == other.record.history


def test_sweeps_before_one_that_fails_are_measured(fitted, monkeypatch):
    groups, bench = fitted
    opened = fits.job_of

    def failing(cells, *rest):
        if cells[0].config["control"] == "class-noise":
            raise FitError("no room")
        return opened(cells, *rest)

    monkeypatch.setattr(fits, "job_of", failing)
    found = []
    _, reading = readings(groups, on := bench())
    with pytest.raises(FitError, match="no room"):
        found.extend(fitted for fitted in run_sweeps(reading, on))
    assert {f.record.control for f in found} == {"self", "random"}


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def stoppable(fitted, monkeypatch, tmp_path):
    """Run three controls, killed after so many states; what was found, what was written, and what was taken up."""
    groups, bench = (
        [group for group in fitted[0] if group[0].config["control"] in ("self", "random", "shuffled")],
        fitted[1],
    )
    write, train, folder = Unfinished.write, fits.train, tmp_path / "unfinished"

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
            patch.setattr(fits, "train", lambda *given, **how: taken.append(given[3]) or train(*given, **how))
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


@pytest.mark.slow
def test_a_family_runs_each_network_once(family, monkeypatch):
    groups, bench = family
    reading, *rest = readings(groups, bench)
    whole = [group for group in groups if group[0].sweep.kind == "plain"]
    assert reading == (whole, None, True)
    assert len(whole) == 9  # six ordered pairs, and each network with itself
    assert [group for ((group,), *_) in rest] == [group for group in groups if group not in whole]
    bench.all_donors([cell for group in groups for cell in group])
    runs, heard = [], []
    seen = senders.view_of
    monkeypatch.setattr(senders, "view_of", lambda network, *rest: runs.append(network.name) or seen(network, *rest))
    found = list(run_family(reading, bench, tell=lambda *said: heard.append(said)))
    assert {name: runs.count(name) for name in set(runs)} == dict.fromkeys(("zero", "one", "odd"), len(runs) // 3)
    assert heard[-1][1:] == (200 + bench.data.size("test"),) * 2
    alone = [fitted for group in whole for fitted in run_sweep(group, bench)]
    assert [f.record.cell for f in found] == [f.record.cell for f in alone]
    for one, other in zip(found, alone):
        for name in ("mean_x", "mean_y", "xx", "yy", "xy"):
            wanted = getattr(other.stream.moments, name)
            off = (getattr(one.stream.moments, name) - wanted).abs().max()
            assert float(off) <= 1e-9 * float(wanted.abs().max())
        values, wanted = ({m.name: m.value for m in f.record.metrics} for f in (one, other))
        assert values["penalty"] == wanted["penalty"]
        assert values == pytest.approx(wanted, rel=1e-6, abs=1e-9)


def test_a_family_with_sums_that_are_not_finite_names_the_layer(family):
    groups, bench = family
    groups = [g for g in groups if g[0].sweep.kind == "plain" and g[0].sweep.top != "odd"]
    with torch.no_grad():
        bench.networks["odd"].module.block1.bias.fill_(float("nan"))
    found = [fitted.record for fitted in run_family(Reading(groups), bench)]
    failed = [record for record in found if record.failed]
    assert {record.bottom.name for record in failed} == {"odd"}
    assert all("odd@block" in record.failed and "NaN" in record.failed for record in failed)
    assert len(found) == len(failed) + len([c for g in groups for c in g if g[0].sweep.bottom != "odd"])


@pytest.fixture
def stoppable_family(family, tmp_path, monkeypatch):
    """Run a family that leaves its state after every batch; say what came of it, and how often networks ran."""
    networks, digits = family[1].networks, ms.load_data("digits", limit=240)
    options = {"layers": ("block1 -> block1", "block1 -> block2"), "family": ("affine", "conv:3"), "batch_size": 32}
    how = {"pairs": "all", "both": False, "objective": "match", "controls": (), "samples": [96], "second": digits}
    asked = compared(list(networks.values()), None, digits, options | how)
    groups = sweeps_of(asked.planned()[1])
    seen, write = senders.view_of, Unfinished.write
    monkeypatch.setattr(Unfinished, "due", True)

    def bench():
        made = asked.bench("cpu")
        made.all_donors([cell for group in groups for cell in group])
        made.unfinished = tmp_path / "unfinished"
        return made

    def run(work, *, writes=None):
        runs, written = [], []

        def view_of(network, *rest):
            runs.append(network.name)
            return seen(network, *rest)

        def writing(self, state):
            write(self, state)
            written.append(self.path.name)
            if len(written) == writes:
                raise Killed

        monkeypatch.setattr(senders, "view_of", view_of)
        monkeypatch.setattr(Unfinished, "write", writing)
        try:
            found = [replace(record, provenance={}) for record in work()]
        except Killed:
            found = None
        return found, len(runs), written

    def family_run(*, kept=True, writes=None, some=groups):
        on = bench()
        on.unfinished = on.unfinished if kept else None
        return run(
            lambda: (fitted.record for fitted in run_family(Reading(some, left_together(some, on)), on)), writes=writes
        )

    family_run.groups, family_run.asked, family_run.work = groups, asked, run
    family_run.folder = tmp_path / "unfinished"
    return family_run


@pytest.mark.slow
def test_a_family_that_was_killed_goes_on_where_it_was(stoppable_family):
    """In its sums, in the measurement, and on the second test set; to the last bit."""
    whole, all_runs, none = stoppable_family(kept=False)
    assert none == []
    straight, runs, written = stoppable_family()
    assert (straight, runs) == (whole, all_runs)
    assert not list(stoppable_family.folder.glob("*"))
    kinds = [name.rpartition("-")[2] for name in written]
    sums, test, second = (kinds.count(kind) for kind in ("sums", "test", "second"))
    assert sums >= 3
    assert test == second >= 3
    last = all_runs
    for at in (2, sums + 2, sums + test + 1):
        killed, *_ = stoppable_family(writes=at)
        assert killed is None
        found, runs, _ = stoppable_family()
        assert found == whole
        assert runs < last
        last = runs
        assert not list(stoppable_family.folder.glob("*"))


@pytest.mark.slow
def test_the_state_of_other_cells_or_batches_is_not_taken(stoppable_family):
    groups = stoppable_family.groups
    assert stoppable_family(writes=6)[0] is None
    (left,) = stoppable_family.folder.glob("*-test")
    fewer, _, _ = stoppable_family(some=groups[:-1])
    assert left.exists()  # it is of other work
    assert fewer == stoppable_family(kept=False, some=groups[:-1])[0]
    state = Unfinished(left).read()
    Unfinished(left).write(state | {"asked": state["asked"] | {"batch size": 8}})
    assert stoppable_family()[0] == stoppable_family(kept=False)[0]


@pytest.mark.slow
def test_a_family_that_was_killed_among_its_records_is_not_measured_again(stoppable_family, tmp_path):
    cells, store, heard = [cell for group in stoppable_family.groups for cell in group], Store(tmp_path, {}), []

    def killed(record):
        heard.append(record.cell)
        if len(heard) == 3:
            raise Killed

    assert (
        stoppable_family.work(lambda: run(stoppable_family.asked, device="cpu", store=store, finished=killed))[0]
        is None
    )
    assert sum(store.has(cell.hash) for cell in cells) == 3
    later = []
    found, runs, written = stoppable_family.work(
        lambda: run(stoppable_family.asked, device="cpu", store=store, finished=lambda one: later.append(one.cell))
    )
    whole, all_runs, _ = stoppable_family(kept=False)
    assert found == whole
    assert runs < all_runs / 4  # the networks are looked at, and read no split
    assert written == []
    assert sorted([*heard, *later]) == sorted(cell.hash for cell in cells)
    assert not stoppable_family.folder.exists() or not list(stoppable_family.folder.iterdir())


def test_the_state_of_a_family_goes_where_all_its_records_are_there(stoppable_family, tmp_path):
    cells, store, count = [cell for group in stoppable_family.groups for cell in group], Store(tmp_path, {}), []

    def killed(record):
        count.append(record)
        if len(count) == len(cells):
            raise Killed

    assert (
        stoppable_family.work(lambda: run(stoppable_family.asked, device="cpu", store=store, finished=killed))[0]
        is None
    )
    assert len(list(stoppable_family.folder.iterdir())) == 3
    run(stoppable_family.asked, device="cpu", store=store)
    assert not stoppable_family.folder.exists()
