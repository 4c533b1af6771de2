"""Each part of a record is read from plain values, or refused in words."""

import pytest

from modelstitch.errors import RecordError
from modelstitch.records.parts import DonorFacts, End, Metric, Setting, end_of, facts_of, metrics_of, part_of, short


def test_a_side_may_leave_out_what_it_does_not_have():
    assert end_of({"name": "a"}) == End("a")
    assert end_of({"name": "a", "layer": None, "depth": 0.5}) == End("a", depth=0.5)


def test_metrics_are_read_with_and_without_an_interval():
    plain = [{"metric": "cka", "value": 0.5, "low": None, "high": None, "unit": ""}, {"metric": "r2", "value": None}]
    assert metrics_of(plain) == (Metric("cka", 0.5), Metric("r2", None))
    assert [metric.plain()["metric"] for metric in metrics_of(plain)] == ["cka", "r2"]


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        ([{"value": 1.0}], "metrics with a name"),
        ([{"metric": "cka", "value": True}], "'cka', value to be a finite number or null, found True"),
        ([{"metric": "cka", "value": 1.0, "low": 0.5}], "both ends of the interval of 'cka'"),
        ([{"metric": "cka", "value": 1.0, "unit": 3}], "the unit of 'cka' in words, found 3"),
        ([{"metric": "cka", "value": 1.0}] * 2, "'cka' once, found it twice"),
    ],
)
def test_a_metric_that_is_none_is_named(plain, words):
    with pytest.raises(RecordError, match=words):
        metrics_of(plain)


def test_facts_of_a_donor():
    assert facts_of("a", {"weights": "as given", "error": 2.0}) == DonorFacts("as given", error=2.0)
    with pytest.raises(RecordError, match=r"of the donor 'a', found \{'age': 3\}"):
        facts_of("a", {"age": 3})


def test_a_part_of_another_kind_is_refused():
    assert part_of({"notes": []}, "notes", list | tuple) == []
    with pytest.raises(RecordError, match="'notes' as list, found str"):
        part_of({"notes": "one"}, "notes", list | tuple)


def test_words_are_short():
    assert short("a" * 100) == "'" + "a" * 56 + "..."
    assert str(Setting("affine", "match", None, None)) == "affine, match"
