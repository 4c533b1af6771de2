"""Measures that need all activations at once equal those of saved ones."""

import pytest

from layerwise.small import block_of, met, rows_of, saved, world
from modelstitch.layerwise import kept
from modelstitch.layerwise.plan import Step
from modelstitch.measures import MEASURES, Measure

NAMES = ("mutual_knn", "rsa", "cka_rbf")


def test_every_pair_and_measure():
    a, b, data = world()
    own = Measure("mine", lambda x, y: float(len(x)), "similarity", "n", "made up", high=1e9)
    measures = (*(MEASURES[name] for name in NAMES), own)
    meeting = met(a, b, data=data)
    block = block_of(meeting)
    found = kept.run(rows_of(meeting, data), block, Step("rows", measures, (block,), 0, 1), 7, 3, 0)
    assert len(found) == 2 * 1 * 4
    for one in found:
        wanted = one.measure(saved(a, one.bottom[2:], data), saved(b, one.top[2:], data))
        assert one.value == pytest.approx(wanted, abs=1e-5), one.measure.name
        assert one.null is not None
    assert [one.value for one in found if one.measure is own] == [60.0, 60.0]


def test_too_few_examples_are_noted_and_nothing_is_raised():
    a, b, data = world(5)
    meeting = met(a, b, data=data)
    block = block_of(meeting)
    found = kept.run(rows_of(meeting, data), block, Step("rows", (MEASURES["mutual_knn"],), (block,), 0, 1), 7, 0, 0)
    assert [one.value for one in found] == [None, None]
    assert all("mutual_knn" in one.note for one in found)
