"""What the kept answers say of a record's numbers, by counting."""

import numpy as np
import pytest

from modelstitch.errors import RecordError
from modelstitch.records.answers import pack
from modelstitch.records.told import told_by_answers

WRONG = pack(*(100.0 * (np.arange(20) < k) for k in (5, 1)), np.ones(20), "points")


def test_right_answers_give_errors_and_penalty():
    told = told_by_answers({}, WRONG, WRONG["stitched"])
    assert {name: said.value for name, said in told.items()} == pytest.approx(
        {"penalty": 20, "error": 25, "top_error": 5}
    )
    assert all(said.room < 1e-6 for said in told.values())


def test_errors_give_the_penalty_where_no_answer_is_kept():
    told = told_by_answers({"error": 30.0, "top_error": 12.0}, None, None)
    assert {name: said.value for name, said in told.items()} == {"penalty": 18.0}
    assert told_by_answers({"error": None, "top_error": 12.0}, None, None) == {}


def test_answers_that_contradict_each_other_are_refused():
    with pytest.raises(RecordError, match="the same right answers"):
        told_by_answers({}, WRONG, WRONG["top"])
    with pytest.raises(RecordError, match="expected the examples to be readable"):
        told_by_answers({}, {**WRONG, "n": 30}, None)
