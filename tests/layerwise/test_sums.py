"""Measures from the sums of one pass equal those of saved activations."""

import pytest

from layerwise.small import LAYERS, rows_of, saved, world
from modelstitch.layerwise import sums
from modelstitch.layerwise.plan import Step
from modelstitch.measures import MEASURES

NAMES = ("cka_linear_biased", "procrustes_similarity", "r2_bottom_to_top")


def test_every_pair_and_measure():
    a, b, data = world()
    measures = tuple(MEASURES[name] for name in NAMES)
    found = sums.run(rows_of(a, b, data), LAYERS, Step("sums", measures, (LAYERS,), 0, 1), 7, 5, 0)
    assert len(found) == 2 * 1 * 3
    for one in found:
        wanted = one.measure(saved(a, one.bottom_layer, data), saved(b, one.top_layer, data))
        assert one.value == pytest.approx(wanted, abs=1e-5)
        assert one.null is not None
        assert one.note == ""


def test_without_shuffles_there_is_no_null_level():
    a, b, data = world()
    found = sums.run(rows_of(a, b, data), LAYERS, Step("sums", (MEASURES[NAMES[0]],), (LAYERS,), 0, 1), 7, 0, 0)
    assert [one.null for one in found] == [None, None]
