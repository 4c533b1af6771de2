"""What was measured of a stitch, what of it is trained further, and the record that it makes."""

import pytest
import torch

import modelstitch as ms
from modelstitch import stitch
from modelstitch.engine.fit.tune import tuned
from modelstitch.engine.measure import Tally
from modelstitch.errors import StudyError, UnknownLayerError
from modelstitch.network import fingerprint
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


def test_a_closed_form_has_no_history(pair, digits):
    record = stitch(*pair, "block1", digits, objective="match", samples=200).record
    assert record.history in ((), None)
    assert not any(note.startswith("stopped: ") for note in record.notes)
    assert record.metric("steps").value == 0


QUICK = {"layers": "block2", "objective": "match", "steps": 6, "eval_every": 3, "augment": False, "samples": 150}


def asked(pair, digits, unfreeze, **more):
    return ms.compare(*pair, data=digits, both=False, device="cpu", **QUICK, unfreeze=unfreeze, **more)


def test_tuned_stitches_stand_apart_and_donors_stay(pair, digits, tmp_path):
    donors = [fingerprint(network.module) for network in pair]
    frozen = asked(pair, digits, None, controls=("self", "random"))
    tuned = asked(pair, digits, "all", out=tmp_path / "all")
    assert [fingerprint(network.module) for network in pair] == donors
    assert [record.control for record in tuned.records] == ["pair", "self", "random"]
    assert not {record.cell for record in tuned.records} & {record.cell for record in frozen.records}
    for record in tuned.records:
        assert record.config["unfreeze"] == "all"
        assert record.objective == "match, then task (all unfrozen)"
        assert "caution: tuned on the task with all unfrozen: no penalty of frozen networks" in record.notes
        assert record.history[-1][0] == 6
    both = ms.Results([*frozen.records, *tuned.records], {})
    assert len(both.pooled.filter(control="pair")) == 2
    assert asked(pair, digits, "all", out=tmp_path / "all").frame.equals(tuned.frame)
    page = (tuned.report(tmp_path / "page.html")).read_text()
    assert "task (all unfrozen)" in page
    assert "tuned on the task with all unfrozen" in page
    with pytest.raises(StudyError, match="another"):
        asked(pair, digits, "stitcher", out=tmp_path / "all")


def test_it_is_what_tune_does(pair, digits):
    (record,) = asked(pair, digits, "after:block3", controls=()).records
    s = ms.stitch(*pair, at="block2", data=digits, objective="match", device="cpu", samples=150)
    own = s.tune(digits.subset(150, seed=None), "after:block3", steps=6, eval_every=3, augment=False)
    assert record.metric("top_error").value == own.metrics["top_error"]
    assert record.history[0][0] == own.record.history[0][0] == 0


@pytest.mark.parametrize("unfreeze", ["stitcher", "all"])
def test_what_is_tuned_is_held_against_the_top_as_it_was_given(unfreeze, pair, digits, monkeypatch):
    made = []

    def seen(*args, **options):
        made.append(tuned(*args, **options))
        return made[-1]

    monkeypatch.setattr("modelstitch.study.sweeps.measured.tuned", seen)
    (record,) = asked(pair, digits, unfreeze, controls=()).records
    ((model, _),) = made
    squares, genuine = 0.0, []
    with torch.no_grad():
        for batch in digits.batches("test", 64):
            y = pair[1].bottom("block2")(batch.inputs).double()
            squares += float((model.stitcher(model.bottom(batch.inputs)).double() - y).square().sum())
            genuine.append(y)
    y = torch.cat(genuine)
    relative_mse = squares / float((y - y.mean((0, 2, 3), keepdim=True)).square().sum())
    assert record.metric("relative_mse").value == pytest.approx(relative_mse, rel=1e-4)
    assert record.metric("r2").value == pytest.approx(1 - relative_mse, abs=1e-4)
    assert 0 <= record.metric("cka").value <= 1
    assert record.metric("ood").value > 0
    assert not any("do not vary" in note for note in record.notes)
    frozen = asked(pair, digits, None, controls=()).records[0]
    assert relative_mse > frozen.metric("relative_mse").value  # least squares are the least at the seam


@pytest.mark.parametrize(
    ("unfreeze", "more", "error", "words"),
    [
        ("half", {}, StudyError, "unfreeze.*expected 'stitcher', 'after:LAYER' with a layer of the top, or 'all'"),
        ("after:block9", {}, UnknownLayerError, "block9"),
        ("all", {"normalisation": "recalibrated"}, StudyError, "normalisation 'frozen' beside unfreeze"),
        ("all", {"controls": "class-noise"}, StudyError, "controls that can be tuned .self, .* not 'class-noise'"),
    ],
)
def test_what_is_refused(pair, digits, unfreeze, more, error, words):
    with pytest.raises(error, match=words):
        asked(pair, digits, unfreeze, **more)
