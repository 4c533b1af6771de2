"""The bench that sweeps share: donors looked at once, drawn networks kept, cells cut to the memory there is."""

import pytest
import torch

from modelstitch.engine.fit.options import FitSpec
from modelstitch.study.plan import plan
from modelstitch.study.prepared import data_config, describe_donor
from modelstitch.study.question import Question
from modelstitch.study.sweep import Bench, chunked, left, run_sweep

QUESTION = Question(
    layers=("block1", "block2"), objective="match", controls=("random", "class-noise"), fit=FitSpec(samples=200)
)


@pytest.fixture
def cells(pair, digits):
    one, two = map(describe_donor, pair)
    return plan([(one, two)], QUESTION, data_config(digits))


@pytest.fixture
def bench(pair, digits):
    return Bench({n.name: n for n in pair}, digits, QUESTION.fit, torch.device("cpu"))


def of(cells, control):
    return [c for c in cells if c.config["control"] == control]


def test_what_sends_in_a_cell(cells, bench, pair):
    assert bench.below(of(cells, "pair")[0]) is pair[0]
    assert bench.below(of(cells, "class-noise")[0]) is None
    drawn = bench.below(of(cells, "random")[0])
    assert drawn.fingerprint() != pair[0].fingerprint()
    assert bench.below(of(cells, "random")[1]) is drawn


def test_donors_are_looked_at_once(cells, bench, pair, monkeypatch):
    found = bench.donors(of(cells, "pair")[0])
    assert len(found) == 2
    monkeypatch.setattr("modelstitch.study.sweep.look", lambda *_, **__: pytest.fail("looked again"))
    assert bench.donors(of(cells, "pair")[1]) == found
    assert bench.donors(of(cells, "class-noise")[0]) == found[1:]  # class noise has no bottom
    assert set(bench.looked) == {"zero", "one"}


def test_cells_run_as_many_at_a_time_as_memory_takes(cells, bench, pair):
    some = of(cells, "pair")
    sizes, parts = chunked(some, *pair, bench)
    assert [list(part) for part in parts] == [[0, 1]]
    bench.memory = sizes[0]
    assert [list(part) for part in chunked(some, *pair, bench)[1]] == [[0], [1]]
    together = [f.record for f in run_sweep(some, bench)]
    assert [r.cell for r in together] == [c.hash for c in some]
    assert all(r.metric("penalty") is not None for r in together)


def test_a_state_is_left_under_a_name_of_its_work(cells, bench, tmp_path):
    assert left(cells[0], bench) is None
    bench.unfinished = tmp_path
    names = {
        left(group[0], bench).path.name for group in (of(cells, "pair"), of(cells, "random"), of(cells, "class-noise"))
    }
    assert len(names) == 3
    assert left(of(cells, "pair")[0], bench).path == left(of(cells, "pair")[1], bench).path
