"""Closed forms between many networks: each runs once over a batch; killed, it goes on where it was."""

from dataclasses import replace

import pytest
import torch

import modelstitch as ms
from modelstitch.engine import senders
from modelstitch.engine.fit.options import FitSpec
from modelstitch.study.needs import needs_of
from modelstitch.study.plan import plan, sweeps_of
from modelstitch.study.prepared import data_config, describe_donor
from modelstitch.study.question import Question
from modelstitch.study.run import run_cells
from modelstitch.study.store import Store
from modelstitch.study.sweeps.bench import Bench
from modelstitch.study.sweeps.family import families, family_bytes, run_family
from modelstitch.study.sweeps.measured import unmeasured
from modelstitch.study.sweeps.sweep import run_sweep
from modelstitch.support.resume import Unfinished


@pytest.fixture
def family(pair, digits):
    """Three networks, stitched each into each, and beside themselves."""
    three = [*pair, ms.Network(Odd().eval(), next(digits.batches("val", 2)).inputs, "odd")]
    asked = Question(
        layers=("block1 -> block1", "block1 -> block2", "block2 -> block2"),
        objective="match",
        family=("affine", "orthogonal"),
        controls=("self", "shuffled"),
        fit=FitSpec(samples=200),
    )
    donors = list(map(describe_donor, three))
    ends = [(a, b) for a in donors for b in donors if a is not b]
    groups = sweeps_of(plan(ends, asked, data_config(digits)))
    return groups, Bench({n.name: n for n in three}, digits, asked.fit, torch.device("cpu"))


class Odd(torch.nn.Module):
    """Another width, and half as many positions in its second block."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(5)
            self.block1 = torch.nn.Conv2d(1, 16, 3, padding=1)
            self.block2 = torch.nn.Conv2d(16, 16, 3, stride=2, padding=1)
            self.head = torch.nn.Linear(16, 10)

    def forward(self, x):
        x = torch.relu(self.block1(x))
        return self.head(torch.relu(self.block2(x)).mean((2, 3)))


def plain(groups):
    return [group for group in groups if group[0].sweep.kind == "plain"]


@pytest.mark.slow
def test_a_family_runs_each_network_once(family, monkeypatch):
    groups, bench = family
    (together, *rest) = families(groups, bench)
    assert together == plain(groups)
    assert len(together) == 9  # six ordered pairs, and each network with itself
    assert [group for (group,) in rest] == [group for group in groups if group not in together]
    bench.all_donors([cell for group in groups for cell in group])
    runs, heard = [], []
    seen = senders.view_of
    monkeypatch.setattr(senders, "view_of", lambda network, *rest: runs.append(network.name) or seen(network, *rest))
    found = list(run_family(together, bench, tell=lambda *said: heard.append(said)))
    assert {name: runs.count(name) for name in set(runs)} == dict.fromkeys(("zero", "one", "odd"), len(runs) // 3)
    assert heard[-1][1:] == (200 + bench.data.size("test"),) * 2
    alone = [fitted for group in together for fitted in run_sweep(group, bench)]
    assert [f.record.cell for f in found] == [f.record.cell for f in alone]
    for one, other in zip(found, alone):
        for name in ("mean_x", "mean_y", "xx", "yy", "xy"):
            wanted = getattr(other.stream.moments, name)
            off = (getattr(one.stream.moments, name) - wanted).abs().max()
            assert float(off) <= 1e-9 * float(wanted.abs().max())
        values, wanted = ({m.name: m.value for m in f.record.metrics} for f in (one, other))
        assert values["penalty"] == wanted["penalty"]
        assert values == pytest.approx(wanted, rel=1e-6, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("why", ["two networks", "memory", "kept sums"])
def test_what_is_no_family_runs_sweep_by_sweep(family, why, tmp_path):
    groups, bench = family
    if why == "two networks":
        groups = [g for g in groups if {g[0].sweep.bottom, g[0].sweep.top} <= {"zero", "one"}]
    if why == "memory":
        bench.memory = 1000
    if why == "kept sums":
        bench.sums = tmp_path
    assert families(groups, bench) == [[group] for group in groups]


def test_a_family_too_large_runs_in_blocks_of_networks(family):
    groups, bench = family
    networks = [*bench.networks.values(), *(n.named(f"{n.name} too") for n in bench.networks.values())]
    bench.networks = {n.name: n for n in networks}
    ends = [(a, b) for a in map(describe_donor, networks) for b in map(describe_donor, networks) if a is not b]
    asked = Question(layers=("block1 -> block1",), objective="match", controls=(), fit=FitSpec(samples=200))
    groups = sweeps_of(plan(ends, asked, data_config(bench.data)))
    (whole,) = families(groups, bench)
    bench.memory = family_bytes(whole, bench) - 1
    parts = families(groups, bench)
    assert len(parts) > 1
    assert all(family_bytes(part, bench) <= bench.memory for part in parts)
    assert sorted(g[0].hash for part in parts for g in part) == sorted(g[0].hash for g in groups)


def test_a_family_with_sums_that_are_not_finite_names_the_layer(family):
    groups, bench = family
    groups = [g for g in plain(groups) if g[0].sweep.top != "odd"]
    with torch.no_grad():
        bench.networks["odd"].module.block1.bias.fill_(float("nan"))
    found = [fitted.record for fitted in run_family(groups, bench)]
    failed = [record for record in found if record.failed]
    assert {record.bottom.name for record in failed} == {"odd"}
    assert all("odd@block" in record.failed and "NaN" in record.failed for record in failed)
    assert len(found) == len(failed) + len([c for g in groups for c in g if g[0].sweep.bottom != "odd"])


def test_of_three_networks_one_may_fail(family):
    groups, bench = family
    cells = [cell for group in plain(groups) for cell in group]
    with torch.no_grad():
        bench.networks["odd"].module.head.bias.fill_(float("nan"))
    assert {donor.name for donor in bench.all_donors(cells)} == {"zero", "one", "odd"}
    failed = [cell for cell in cells if bench.fails(cell)]
    assert failed == [cell for cell in cells if cell.config["top"]["name"] == "odd"]
    record = unmeasured(failed[0], bench.fails(failed[0]), bench)
    assert record.failed.startswith("The output of odd holds NaN or infinity, first for the sample ")
    two = [cell for cell in cells if {cell.config[side]["name"] for side in ("bottom", "top")} == {"zero", "odd"}]
    with pytest.raises(ms.StitchError, match="The output of odd holds NaN"):
        Bench(bench.networks, bench.data, bench.spec, bench.device).all_donors(two)


def test_a_plan_counts_the_networks_of_a_family_once(family):
    groups, bench = family
    together = plain(groups)
    cells = [cell for group in together for cell in group]
    looked = needs_of(cells[:1], bench, timed=False).samples["test"] - bench.data.size("test")  # of two donors
    found = needs_of(cells, bench, timed=False)
    assert found.samples["test"] == looked // 2 * 3 + bench.data.size("test")
    assert found.memory == family_bytes(together, bench)


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def stoppable(family, tmp_path, monkeypatch):
    """Run a family that leaves its state after every batch; say what came of it, and how often networks ran."""
    networks, digits = family[1].networks, ms.load_data("digits", limit=240)
    asked = Question(
        layers=("block1 -> block1", "block1 -> block2"),
        objective="match",
        family=("affine", "conv:3"),
        controls=(),
        fit=FitSpec(samples=96, batch_size=32),
    )
    donors = list(map(describe_donor, networks.values()))
    groups = sweeps_of(plan([(a, b) for at, b in enumerate(donors) for a in donors[:at]], asked, data_config(digits)))
    seen, write = senders.view_of, Unfinished.write
    monkeypatch.setattr(Unfinished, "due", True)

    def bench():
        made = Bench(networks, digits, asked.fit, torch.device("cpu"), second=digits)
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
        return run(lambda: (fitted.record for fitted in run_family(some, on)), writes=writes)

    family_run.groups, family_run.bench, family_run.work = groups, bench, run
    family_run.folder = tmp_path / "unfinished"
    return family_run


@pytest.mark.slow
def test_a_family_that_was_killed_goes_on_where_it_was(stoppable):
    """In its sums, in the measurement, and on the second test set; to the last bit."""
    whole, all_runs, none = stoppable(kept=False)
    assert none == []
    straight, runs, written = stoppable()
    assert (straight, runs) == (whole, all_runs)
    assert not list(stoppable.folder.glob("*"))
    kinds = [name.rpartition("-")[2] for name in written]
    sums, test, second = (kinds.count(kind) for kind in ("sums", "test", "second"))
    assert sums >= 3
    assert test == second >= 3
    last = all_runs
    for at in (2, sums + 2, sums + test + 1):
        killed, *_ = stoppable(writes=at)
        assert killed is None
        found, runs, _ = stoppable()
        assert found == whole
        assert runs < last
        last = runs
        assert not list(stoppable.folder.glob("*"))


@pytest.mark.slow
def test_the_state_of_other_cells_or_batches_is_not_taken(stoppable):
    groups = stoppable.groups
    assert stoppable(writes=6)[0] is None
    (left,) = stoppable.folder.glob("*-test")
    fewer, _, _ = stoppable(some=groups[:-1])
    assert left.exists()  # it is of other work
    assert fewer == stoppable(kept=False, some=groups[:-1])[0]
    state = Unfinished(left).read()
    Unfinished(left).write(state | {"asked": state["asked"] | {"batch size": 8}})
    assert stoppable()[0] == stoppable(kept=False)[0]


@pytest.mark.slow
def test_a_family_that_was_killed_among_its_records_is_not_measured_again(stoppable, tmp_path):
    cells, store, heard = [cell for group in stoppable.groups for cell in group], Store(tmp_path, {}), []

    def killed(record):
        heard.append(record.cell)
        if len(heard) == 3:
            raise Killed

    assert stoppable.work(lambda: run_cells(cells, stoppable.bench(), store=store, finished=killed))[0] is None
    assert sum(store.has(cell.hash) for cell in cells) == 3
    later = []
    found, runs, written = stoppable.work(
        lambda: run_cells(cells, stoppable.bench(), store=store, finished=lambda record: later.append(record.cell))
    )
    whole, all_runs, _ = stoppable(kept=False)
    assert found == whole
    assert runs < all_runs / 4  # the networks are looked at, and read no split
    assert written == []
    assert sorted([*heard, *later]) == sorted(cell.hash for cell in cells)
    assert not stoppable.folder.exists() or not list(stoppable.folder.iterdir())


def test_the_state_of_a_family_goes_where_all_its_records_are_there(stoppable, tmp_path):
    cells, store, count = [cell for group in stoppable.groups for cell in group], Store(tmp_path, {}), []

    def killed(record):
        count.append(record)
        if len(count) == len(cells):
            raise Killed

    assert stoppable.work(lambda: run_cells(cells, stoppable.bench(), store=store, finished=killed))[0] is None
    assert len(list(stoppable.folder.iterdir())) == 3
    run_cells(cells, stoppable.bench(), store=store)
    assert not stoppable.folder.exists()
