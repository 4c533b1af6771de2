"""What was measured of a stitch, and the record that it makes."""

import pytest
import torch

from modelstitch import stitch
from modelstitch.engine.measure import Tally
from modelstitch.records.record import check
from modelstitch.study.sweeps.measured import beside_top


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
