"""Measures from the sums of one pass equal those of saved activations."""

import pytest

from layerwise.small import block_of, met, rows_of, saved, third, world
from modelstitch.layerwise import sums
from modelstitch.layerwise.plan import Step
from modelstitch.measures import MEASURES

NAMES = ("cka_linear_biased", "cka_linear_debiased", "procrustes_similarity", "r2_bottom_to_top")


@pytest.mark.parametrize("several", [False, True])
def test_every_pair_and_measure(several):
    a, b, data = world()
    networks = {net.name: net for net in ((a, b, third()) if several else (a, b))}
    meeting = met(*networks.values(), data=data, **({"layers": ["0", "2"]} if several else {}))
    measures, block = tuple(MEASURES[name] for name in NAMES), block_of(meeting)
    assert block.one_set == several
    found = sums.run(rows_of(meeting, data), block, Step("sums", measures, (block,), 0, 1), 7, 5, 0)
    # three pairs of 2 x 2 layers, and the other way for the measure that looks one way
    assert len(found) == (3 * 4 * 5 if several else 2 * 1 * 4)
    for one in found:
        (below, b_layer), (above, t_layer) = (key.split("@") for key in (one.bottom, one.top))
        wanted = one.measure(saved(networks[below], b_layer, data), saved(networks[above], t_layer, data))
        assert one.value == pytest.approx(wanted, abs=1e-5)
        assert one.null is not None
        assert one.note == ""


def test_the_null_level_of_the_unbiased_is_near_nothing():
    a, b, data = world(600)
    meeting = met(a, b, data=data)
    block = block_of(meeting)
    step = Step("sums", (MEASURES["cka_linear_debiased"],), (block,), 0, 1)
    for one in sums.run(rows_of(meeting, data), block, step, 100, 20, 0):
        assert abs(one.null.mean) < 0.02 < one.value


def test_without_shuffles_there_is_no_null_level():
    a, b, data = world()
    meeting = met(a, b, data=data)
    block = block_of(meeting)
    found = sums.run(rows_of(meeting, data), block, Step("sums", (MEASURES[NAMES[0]],), (block,), 0, 1), 7, 0, 0)
    assert [one.null for one in found] == [None, None]
