"""How figures were made and what it took, in words from their records."""

import pytest

from modelstitch.paper.provenance import fit_words, hours, took
from modelstitch.records.record import Record


def record(cell, protocol, *, seconds=None, fit=None, objective="task", **made):
    config = {"objective": objective, "control": "pair", **({"fit": fit} if fit else {})}
    provenance = {"device": "cpu (x)", "threads": 1, **({"seconds": seconds} if seconds is not None else {}), **made}
    return Record(cell, config, provenance=provenance).tagged({"protocol": protocol})


FIT = {"steps": 1500, "batch_size": 64, "learning_rate": 0.01}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.6, "1 second"),
        (31, "31 seconds"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (3599, "60 minutes"),
        (5400, "1.5 hours"),
    ],
)
def test_times_are_told_in_a_unit_that_says_something(seconds, words):
    assert hours(seconds) == words


def test_fits_are_said_as_records_say_them():
    records = [
        record("a", "honest", fit=FIT),
        record("b", "honest", fit={**FIT, "adapt_rate": True}),
        record("c", "paper", fit={**FIT, "steps": 3}),
        record("d", "honest", fit={**FIT, "steps": 9}, objective="match"),
    ]
    words = "1,500 steps of 64 samples at rate 0.01"
    assert fit_words(records, "honest") == f"{words}; {words}, less where the start is near the top's own error"
    assert fit_words(records, "paper") == "3 steps of 64 samples at rate 0.01"
    assert fit_words([records[3]], "honest") == ""
    plain = [record("e", "honest", fit={**FIT, "augment": False})]
    assert fit_words(plain, "honest") == f"{words}, on samples that are not augmented"
    more = Record("f", {**records[0].config, "starts": 3}).tagged({"protocol": "honest"})
    assert fit_words([more], "honest").endswith("; of class-noise the best of up to 3 starts, by validation error")


def test_what_figures_share_counts_once():
    records = [
        record("net", "", trained_seconds=100.0, net="n"),
        record("net", "", trained_seconds=100.0, net="n"),
        record("cell", "honest", seconds=60.0),
        record("cell", "honest", seconds=60.0),
        record("other", "paper", seconds=30.0),
        record("p1", "", seconds=50.0, probe="p"),
        record("p2", "", seconds=50.0, probe="p"),
    ]
    text = took(records)
    assert "100 seconds of training (1 runs)" in text
    assert "60 seconds of fitting and measuring 1 stitches by the honest protocol" in text
    assert "30 seconds of fitting and measuring 1 stitches by the paper protocol" in text
    assert "50 seconds of what stands beside stitching" in text
    assert text.count("cpu (x), 1 thread") == 1
