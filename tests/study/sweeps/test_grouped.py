"""Which cells run together: as memory takes them, controls of one top, closed forms of many networks."""

import pytest
import torch

from modelstitch.engine.fit.options import FitSpec
from modelstitch.study.needs import needs_of
from modelstitch.study.plan import plan, sweeps_of
from modelstitch.study.prepared import data_config, describe_donor
from modelstitch.study.question import Question
from modelstitch.study.sweeps.bench import Bench
from modelstitch.study.sweeps.grouped import cell_bytes, chunked, family_bytes, readings


def test_cells_run_as_many_at_a_time_as_memory_takes(cells, bench):
    some = cells["pair"]
    ((size, part),) = chunked(some, bench)
    assert part == some
    bench.memory = size - 1
    assert [part for _, part in chunked(some, bench)] == [[cell] for cell in some]


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
    on.memory = 2 * max(sum(cell_bytes(g, on)) for g in groups)
    assert max(len(reading.groups) for reading in readings(groups, on)) < 4
    on.memory = 1
    assert [len(reading.groups) for reading in readings(groups, on)] == [1] * 5


def test_a_state_that_was_left_behind_the_last_record_goes(fitted, tmp_path):
    groups, bench = fitted
    on = bench(tmp_path / "unfinished")
    on.asked = [cell for group in groups for cell in group]
    _, reading = readings(groups, on)
    reading.pieces.piece("test").write({})
    assert readings([], on) == []
    assert not on.unfinished.exists()


def closed_forms(groups):
    return [group for group in groups if group[0].sweep.kind == "plain"]


def together(groups, bench):
    return [reading.groups for reading in readings(groups, bench)]


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
    assert together(groups, bench) == [[group] for group in groups]


def test_a_family_too_large_runs_in_blocks_of_networks(family):
    groups, bench = family
    networks = [*bench.networks.values(), *(n.named(f"{n.name} too") for n in bench.networks.values())]
    bench.networks = {n.name: n for n in networks}
    ends = [(a, b) for a in map(describe_donor, networks) for b in map(describe_donor, networks) if a is not b]
    asked = Question(layers=("block1 -> block1",), objective="match", controls=(), fit=FitSpec(samples=200))
    groups = sweeps_of(plan(ends, asked, data_config(bench.data)))
    (whole,) = together(groups, bench)
    bench.memory = family_bytes(whole, bench) - 1
    parts = together(groups, bench)
    assert len(parts) > 1
    assert all(family_bytes(part, bench) <= bench.memory for part in parts)
    assert sorted(g[0].hash for part in parts for g in part) == sorted(g[0].hash for g in groups)


def test_a_plan_counts_the_networks_of_a_family_once(family):
    groups, bench = family
    whole = closed_forms(groups)
    cells = [cell for group in whole for cell in group]
    looked = needs_of(cells[:1], bench, timed=False).samples["test"] - bench.data.size("test")  # of two donors
    found = needs_of(cells, bench, timed=False)
    assert found.samples["test"] == looked // 2 * 3 + bench.data.size("test")
    assert found.memory == family_bytes(whole, bench)
