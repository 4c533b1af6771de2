"""The claims of linear connectivity, on records made by hand."""

import pytest
from rows import record

from modelstitch.paper import connectivity
from modelstitch.paper.curves import Curves


def path(label, heights, way, repeats=6):
    return [
        record(
            label,
            share,
            height + 0.1 * repeat,
            control="path",
            metric="barrier",
            family=way,
            repeat=repeat,
            top=f"t{repeat}",
            bottom=f"b{repeat}",
        )
        for repeat in range(repeats)
        for share, height in zip((0.0, 0.5, 1.0), heights)
    ]


SEEDS, HALVES, RUN = (probe.label for probe in connectivity.FIGURE.probes)
WAY, MATCHED = connectivity.RENEWED, connectivity.MATCHED


def test_a_barrier_is_the_highest_point_of_its_way():
    curves = Curves(path(SEEDS, (0.0, 40.0, 0.0), WAY) + path(SEEDS, (0.0, 60.0, 0.0), MATCHED), "honest")
    assert connectivity.barrier(curves, SEEDS, WAY).value == pytest.approx(40.25)
    assert connectivity.barrier(curves, SEEDS, MATCHED).value == pytest.approx(60.25)
    assert connectivity.barrier(curves, RUN, WAY) is None


def judged(claim, rows):
    return connectivity.FIGURE.claims[claim].judge(Curves(rows, "honest")).word


@pytest.mark.parametrize(("height", "word"), [(40.0, "holds"), (5.0, "contrary")])
def test_seeds_are_not_linearly_connected_where_both_barriers_are_high(height, word):
    rows = path(SEEDS, (0, height, 0), WAY) + path(HALVES, (0, height, 0), WAY)
    assert judged(1, rows) == word
    assert judged(1, []) == "not measured"


@pytest.mark.parametrize(("matched", "word"), [(10.0, "holds"), (60.0, "contrary")])
def test_matching_lowers_the_barrier(matched, word):
    rows = [
        row
        for label in (SEEDS, HALVES)
        for way, height in ((WAY, 40.0), (MATCHED, matched))
        for row in path(label, (0, height, 0), way)
    ]
    assert judged(2, rows) == word


@pytest.mark.parametrize(("height", "word"), [(1.0, "holds"), (9.0, "contrary")])
def test_one_run_is_connected_with_itself(height, word):
    assert judged(3, path(RUN, (0, height, 0), WAY)) == word
