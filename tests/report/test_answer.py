"""The networks of an answer, and the family they make with similarities beside."""

import pytest

import modelstitch as ms
from modelstitch.errors import MeasureError
from modelstitch.report.answer import family_in, names_of
from report.figures.test_asked import similarities
from report.synthetic import make_records

THREE = [("a", "b"), ("a", "c"), ("b", "c")]


def test_names_stand_in_the_order_in_which_they_were_given():
    assert names_of([("b", "a"), ("b", "c"), ("a", "c")]) == ["b", "a", "c"]


def test_groups_are_those_given_else_those_of_the_question():
    asked = similarities(*THREE)
    asked.spec["groups"] = {"a": "x", "b": "x", "c": "y"}
    assert family_in(asked).groups == {"a": "x", "b": "x", "c": "y"}
    assert family_in(asked, {"a": "x", "b": "y", "c": "y"}).groups["b"] == "y"
    assert not family_in(similarities(*THREE)).groups


@pytest.mark.parametrize(
    ("pairs", "data", "words"),
    [
        ([("a", "b"), ("a", "d"), ("b", "d")], {}, "must be of its networks, a, b, c, found a, b, d"),
        (THREE, {"fingerprint": "other"}, "must be of its data .*, found others"),
    ],
)
def test_similarities_of_others_are_refused(pairs, data, words):
    stitched = ms.Results(make_records(("a", "b", "c"), controls=("pair",)), {"pairs": [list(p) for p in THREE]})
    beside = similarities(*pairs)
    beside.spec["data"] = data
    with pytest.raises(MeasureError, match=words):
        family_in(stitched, similarities=beside)
