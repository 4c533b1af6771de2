"""Stitches of a comparison that are trained further: they stand apart, and donors stay."""

import pytest

import modelstitch as ms
from modelstitch.errors import StudyError, UnknownLayerError
from modelstitch.network import fingerprint

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
    assert record.metric("relative_mse") is None


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
