"""What records keep of every test example, brought together."""

import numpy as np
import pytest

from modelstitch.errors import MeasureError
from modelstitch.records.answers import pack
from modelstitch.records.record import Record
from modelstitch.stats.examples import unpack, unpack_together

STITCHED, TOP = np.array([0.0, 100, 100]), np.array([0.0, 0, 100])


def record(test="", data="d", cell="c", **changes):
    kept = {**pack(STITCHED, TOP, np.ones(3), "points", test), **changes}
    return Record(cell, {"data": {"fingerprint": data}}, examples=kept)


def test_differences_of_errors_and_errors_alone():
    found = unpack(record("t"))
    assert found.deltas.tolist() == [0, 100, 0]
    assert found.weights.tolist() == [1, 1, 1]
    assert (found.unit, found.source) == ("points", ("t", 3, "points"))
    assert unpack(record("t"), alone=True).deltas.tolist() == STITCHED.tolist()


def test_nats_keep_their_weights():
    kept = pack(np.array([1.0, 2.0]), np.array([0.5, 3.0]), np.array([4.0, 1.0]), "nats/token", "t")
    found = unpack(Record("c", {}, examples=kept))
    assert found.deltas.tolist() == [0.5, -1.0]
    assert found.weights.tolist() == [4, 1]


def test_a_record_that_names_the_data_alone_is_on_the_split_that_another_names():
    old, new, other = unpack_together([record(), record("t"), record(data="e")])
    assert old.source == new.source == ("t", 3, "points")
    assert other.source == ("e", 3, "points")


def test_what_keeps_none_or_other_things_is_named():
    with pytest.raises(MeasureError, match="The record c keeps no examples: expected one made by this version"):
        unpack(Record("c", {}))
    for change in ({"top": 5}, {"n": "many"}, {"unit": "nats/token"}):
        with pytest.raises(MeasureError, match="The examples of the record c cannot be read: found"):
            unpack(record("t", **change))
