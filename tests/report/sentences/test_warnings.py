"""Where a low penalty is no evidence: every warning appears where its numbers are, and nowhere else."""

import pytest
from synthetic import make_records

from modelstitch.report.frame import frame, panel, settings
from modelstitch.report.sentences.warnings import cautions, warnings


def told(values, controls=("pair", "self", "random", "identity", "class-noise", "shuffled"), **options):
    records = make_records(
        donors=("a", "b"), controls=controls, penalty=lambda c, depth, seed: values.get(c, 80.0), half=0.2, **options
    )
    table = frame(records)
    found = warnings(panel(table, "a", "b", settings(table)[0]))
    assert all(remark.kind == "warning" for remark in found)
    return " ".join(remark.text for remark in found)


SOUND = {"pair": 1.0, "self": 0.5}


def test_sound_numbers_need_no_warning():
    assert told(SOUND) == ""


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        ({"random": 0.5}, {}, "is not evidence"),
        ({"random": 1.3}, {}, "may not be evidence: its interval meets that of"),
        ({"class-noise": 0.0}, {}, "is not evidence"),
        ({"shuffled": 1.0}, {}, "the shuffled control is as good as the pair: the penalty is at its null level"),
        ({"shuffled": 1.3}, {}, "the interval of the shuffled control meets the pair's"),
        ({}, {"ood": 2.5}, "Stitched activations are foreign to the top at 6 layers"),
        ({}, {"ood": 0.4}, "collapse towards the mean at 6 layers"),
        ({}, {"relative_mse": 1.1}, "no nearer to the top's own than their mean is (relative squared error up to 1.1"),
        ({}, {"errors": (89.0, 3.0)}, "hardly better than chance"),
    ],
)
def test_each_doubt_is_told(values, options, words):
    assert words in told({**SOUND, **values}, **options)


def test_where_nobody_looked_is_told():
    assert "(early)" in told(SOUND, controls=("pair", "self"))
    assert told({"pair": 40.0, "self": 0.5}, controls=("pair", "self")) == ""  # a high penalty claims nothing


def test_cautions_of_records_are_told_once_and_as_plain_text():
    records = make_records(donors=("a", "b"), controls=("pair",), layers=("x",))
    for record in records:
        record["notes"] = ["caution: the top errs\x1b[2J much", "another note"]
    found = cautions(records, "a", "b")
    assert len(found) == 1
    assert found[0].text.startswith("The top errs")
    assert "\x1b" not in found[0].text
    assert cautions(records, "a", "c") == []
