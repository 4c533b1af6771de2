"""The bench that sweeps share: donors looked at once, drawn networks kept, cells cut to the memory there is."""

import pytest
import torch

from modelstitch import stitch
from modelstitch.engine.fit.options import FitSpec
from modelstitch.engine.measure import Tally
from modelstitch.study.plan import plan
from modelstitch.study.prepared import data_config, describe_donor
from modelstitch.study.question import Question
from modelstitch.study.record import check
from modelstitch.study.sweep import Bench, beside_top, chunked, left, run_sweep

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


def outcome(answers, labels, classes=3):
    tally = Tally()
    tally.add(
        torch.nn.functional.one_hot(torch.tensor(answers), classes) * 5.0,
        torch.tensor(labels),
        torch.arange(len(labels)),
    )
    return tally.outcome("split")


def test_answers_beside_those_of_the_top():
    labels = [0, 1, 2, 0, 1]
    stitched, top = outcome([0, 1, 0, 1, 2], labels), outcome([0, 1, 2, 1, 1], labels)
    found = beside_top(stitched, top, 200 / 3)
    assert found["error"].value == pytest.approx(60)
    assert found["top_error"].value == pytest.approx(20)
    assert found["penalty"].value == pytest.approx(40)
    assert found["agreement_top"].value == pytest.approx(60)
    assert found["chance_error"].value == pytest.approx(200 / 3)
    assert {name: e.unit for name, e in found.items()} == {
        "penalty": "points",
        "error": "percent",
        "top_error": "percent",
        "loss": "nats",
        "chance_error": "percent",
        "agreement_top": "percent",
        "agreement_chance": "percent",
    }


def test_a_record_is_one_that_its_reader_believes(pair, digits):
    record = stitch(*pair, "block1 -> block3", digits, steps=2, eval_every=1, samples=200).record
    check(record)
    assert record.metric("parameters").value == 16 * 16 + 16
    assert record.metric("penalty").low <= record.metric("penalty").value <= record.metric("penalty").high
    assert any(note.startswith("adapter: ") for note in record.notes)
    assert any(note.startswith("stopped: ") for note in record.notes)
    assert len(record.history) == 3  # the start, and a look after each step
    assert {"modelstitch", "torch", "device", "seconds", "date"} <= set(record.provenance)
    assert set(record.donors) == {"zero", "one"}


def test_a_closed_form_has_no_history(pair, digits):
    record = stitch(*pair, "block1", digits, objective="match", samples=200).record
    assert record.history in ((), None)
    assert not any(note.startswith("stopped: ") for note in record.notes)
    assert record.metric("steps").value == 0
