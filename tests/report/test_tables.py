"""Tables as plain rows of text, out of records whose numbers are known."""

import pytest
from synthetic import make_records

from modelstitch.report.frame import frame, pairs, panel, settings
from modelstitch.report.tables import (
    donors_table,
    ladder_table,
    matrix_table,
    notes_table,
    overview_table,
    penalty_table,
    provenance_table,
    samples_table,
)


def rows_of(**options):
    table = frame(make_records(donors=("a", "b"), **options))
    return panel(table, "a", "b", settings(table)[0])


def all_of(**options):
    return frame(make_records(donors=("a", "b"), **options)).filter(bottom="a", top="b")


def texts(table):
    return [[cell.text for cell in line] for line in table.rows]


def flat(control, depth, seed=0):
    return {"pair": 2.0, "self": 1.0, "random": 11.0}.get(control, 50.0)


def test_penalties_stand_beside_their_controls():
    table = penalty_table(rows_of(penalty=flat, controls=("pair", "self", "random")), "caption")
    assert table.caption == "caption"
    assert table.head[:6] == ("layer", "depth", "pair, points", "self", "random", "normalised")
    first = table.rows[0]
    assert first[0].text == "stem"
    assert [cell.text for cell in first[2:6]] == ["2.0", "1.0", "11.0", "0.10"]
    assert first[2].below == "[1.1, 2.9]"
    assert [line[1].text for line in table.rows] == sorted(line[1].text for line in table.rows)


def test_without_its_controls_a_penalty_is_not_normalised():
    table = penalty_table(rows_of(penalty=flat, controls=("pair", "random")), "")
    at = table.head.index("normalised")
    assert {(line[at].text, line[at].below) for line in table.rows} == {("–", "needs self, random")}
    same = penalty_table(rows_of(penalty=lambda *_: 3.0, controls=("pair", "self", "random")), "")
    assert {line[same.head.index("normalised")].below for line in same.rows} == {"random ≈ self"}


def test_the_overview_has_a_line_a_pair_with_its_largest_penalty_in_the_middle():
    rows = rows_of(
        penalty=lambda control, depth, seed=0: 50.0 if depth == 1 else 10 * depth, controls=("pair", "random")
    )
    (line,) = texts(overview_table([("a", "b", rows)]))
    assert line[0] == "a → b"
    assert line[3:5] == ["6.7 points", "stage3.0"]
    assert overview_table([("a", "b", rows.head(0))]).rows == ()


def test_every_family_and_every_number_of_samples_has_a_column():
    ladder = ladder_table(all_of(families=("identity", "affine"), controls=("pair",)), "")
    assert set(ladder.head) == {"layer", "identity", "affine"}
    assert len(ladder.rows) == 6
    curve = samples_table(all_of(samples=(100, 1000), controls=("pair",)), "")
    assert curve.head == ("layer", "100", "1,000")


def test_a_matrix_leaves_what_was_not_measured_empty():
    table = matrix_table(rows_of(full_matrix=True, controls=("pair",), layers=("x", "y")), "penalty", "")
    assert table.head == ("bottom \\ top", "x", "y")
    assert len(texts(table)[0]) == 3
    half = matrix_table(rows_of(controls=("pair",), layers=("x", "y")), "penalty", "")
    assert texts(half)[0][2] == "–"


def test_notes_are_counted_and_names_are_plain_text():
    records = make_records(donors=("a", "b"), controls=("pair",), layers=("x",))
    for record in records:
        record["notes"] = ["twice", *(["once\x1b[2J"] if record is records[0] else [])]
    table = notes_table(records)
    assert texts(table)[0] == ["twice", "2"]
    assert "\x1b" not in texts(table)[1][0]


def test_how_numbers_were_made_is_said_once_each():
    records = make_records(donors=("a", "b"), controls=("pair",), seeds=(0, 1))
    lines = dict(texts(provenance_table(records, "the command")))
    assert lines["cells"] == str(len(records))
    assert lines["command"] == "the command"
    assert lines["seeds"] == "0; 1"
    assert lines["families"] == "affine"


def test_networks_stand_by_themselves_as_far_as_records_say():
    facts = {
        "weights": "file w",
        "view": "as given",
        "error": 3.25,
        "fit_error": None,
        "fit_samples": 0,
        "unit": "percent",
    }
    record = make_records(donors=("a", "b"), controls=("pair",), layers=("x",))[0]
    table = donors_table([{**record, "donors": {"a": facts}}])
    assert texts(table) == [["a", "3.2 %", "–", "as given", "file w"]]
    assert donors_table([record]).rows == ()
    assert pairs(frame([record]))


@pytest.mark.parametrize("table", [notes_table, donors_table])
def test_nothing_gives_a_table_without_rows(table):
    assert table([]).rows == ()
