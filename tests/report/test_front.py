"""The front: which rows no other one beats, and how they are shown."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelstitch.errors import StitchError, StudyError
from modelstitch.records.record import End, Record
from modelstitch.report.front import Cost, front_of, way_of, with_front


def record(layer, error, *, control="pair", unit="percent", seed=0):
    end = {"name": "a", "fingerprint": "0", "layer": layer, "depth": 0.5, "index": 0}
    metrics = [
        {"metric": "error", "value": error, "unit": unit},
        {"metric": "penalty", "value": error - 10.0, "low": error - 11.0, "high": error - 9.0, "unit": "points"},
        {"metric": "top_error", "value": 10.0, "unit": unit},
    ]
    config = {"bottom": end, "top": {**end, "name": "b"}, "family": "affine", "objective": "match", "control": control}
    return Record.of({"config": {**config, "seed": seed}, "metrics": metrics})


def found(errors, costs, **options):
    records = [record(f"l{i}", error) for i, error in enumerate(errors)]
    whole = {(End("b"), End("b"), "", ""): Cost(50.0, 5, 1.0)}
    ways = {way_of(r): Cost(cost, 1, 1.0) for r, cost in zip(records, costs)}
    return front_of(records, {**whole, **ways}, options.get("by", "multiplications"), "as told")


@pytest.mark.parametrize(
    ("errors", "costs", "wanted"),
    [
        ([20.0, 30.0], [10.0, 20.0], ["l0", None]),  # the second is dearer and worse
        ([30.0, 20.0], [10.0, 20.0], ["l0", "l1", None]),
        ([10.0, 20.0], [50.0, 60.0], [None, "l0"]),  # as good and as cheap as the network: both stay
        ([5.0], [5.0], ["l0"]),  # better than the whole network in both
        ([5.0, 6.0], [5.0, 5.0], ["l0"]),
    ],
    ids=["beaten", "a choice", "equal", "all beaten", "as cheap"],
)
def test_what_no_other_beats(errors, costs, wanted):
    rows = found(errors, costs).frame.filter("front")
    assert sorted(rows["bottom_layer"].to_list(), key=str) == sorted(wanted, key=str)


@settings(deadline=None)  # a busy machine is no mistake
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_every_row_is_on_the_front_or_beaten_by_one_that_is(points):
    rows = found([float(e) for e, _ in points], [float(c) for _, c in points]).frame.to_dicts()
    best = [row for row in rows if row["front"]]
    for row in rows:
        beaten = [
            b
            for b in best
            if b["error"] <= row["error"]
            and b["multiplications"] <= row["multiplications"]
            and (b["error"], b["multiplications"]) != (row["error"], row["multiplications"])
        ]
        assert row["front"] != bool(beaten)


def test_seeds_are_taken_together_and_controls_left_out():
    records = [record("l0", 20.0), record("l0", 22.0, seed=1), record("l0", 90.0, control="random")]
    made = front_of(records, {way_of(records[0]): Cost(1.0, 1, 1.0)}, "parameters", "")
    (row,) = made.frame.to_dicts()
    assert (row["error"], row["penalty"], row["low"], row["high"]) == (21.0, 11.0, 9.0, 13.0)
    assert way_of(records[2]) is None


def test_it_is_shown(tmp_path):
    made = found([30.0, 60.0, 20.0], [10.0, 20.0, 30.0])
    assert [row[0].text for row in made.table.rows] == [
        "a@l0 -> b@l0 (affine)",
        "a@l1 -> b@l1 (affine)",
        "a@l2 -> b@l2 (affine)",
        "b",
    ]
    assert repr(made) == "Front(3 of 4, by multiplications: a@l0 -> b@l0 (affine), a@l2 -> b@l2 (affine), b)"
    assert len(with_front(made).frame) == 3
    assert made.draw(tmp_path / "front.svg").read_text().count("a@l0") >= 1
    with pytest.raises(StitchError, match=r"has no known ending: expected \.pdf, \.svg, \.png"):
        made.draw(tmp_path / "front.txt")


def test_what_is_refused():
    with pytest.raises(StitchError, match="The cost 'watts' is unknown: expected 'multiplications', 'parameters'"):
        found([1.0], [1.0], by="watts")
    records = [record("l0", 20.0), record("l1", 3.0, unit="nats/token")]
    with pytest.raises(StudyError, match="expected one, found percent, nats/token"):
        front_of(records, {way_of(r): Cost(1.0, 1, 1.0) for r in records}, "parameters", "")
    with pytest.raises(StudyError, match="found no measured stitch"):
        front_of([], {}, "parameters", "")
