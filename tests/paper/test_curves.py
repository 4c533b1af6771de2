"""Curves from records, and their intervals over pairs."""

import numpy as np
import pytest
from rows import ALIKE, LOW, curve, lost, record

from modelstitch.paper import cka as likeness
from modelstitch.paper.curves import Curves, failed
from modelstitch.records.answers import pack


def test_one_pair_keeps_its_own_interval():
    (point,) = Curves([record(value=2.0, low=1.0, high=3.0)], "honest").points("a")
    assert (point.value, point.low, point.high, point.seeds, point.sure) == (2.0, 1.0, 3.0, 1, True)


def test_another_protocol_is_left_out():
    assert Curves([record()], "paper").points("a") == []


def test_several_fits_are_pooled_over_pairs_then_examples():
    generator = np.random.default_rng(0)
    rows = []
    for repeat, (bottom, top) in enumerate((("s", "t"), ("u", "v"))):
        right = generator.random(400) < 0.9
        stitched = right & (generator.random(400) < (0.95, 0.6)[repeat])
        found = record(repeat=repeat, bottom=bottom, top=top)
        found["examples"] = pack(100.0 * ~stitched, 100.0 * ~right, np.ones(400), "points")
        found["metrics"][0]["value"] = 100 * (right.mean() - stitched.mean())
        rows.append(found)
    (point,) = Curves(rows, "honest").points("a")
    values = sorted(r["metrics"][0]["value"] for r in rows)
    assert point.seeds == 2
    assert point.value == pytest.approx(sum(values) / 2)
    assert point.low < values[0] + 2  # a draw of one pair twice
    assert point.high > values[1] - 2


ONCE, BACK, ELSE = ({"bottom": b, "top": t} for b, t in (("s", "t"), ("t", "s"), ("u", "v")))


@pytest.mark.parametrize(
    ("control", "fits", "expected"),
    [
        ("pair", [(ONCE, 1.0), (ELSE, 4.0)], (2.5, 1.0, 4.0, False, 2)),
        ("freeze", [(ONCE, 1.0), (BACK, 4.0)], (2.5, 1.0, 4.0, False, 2)),
        ("path", [(ONCE, 1.0), (ELSE, 4.0)], (2.5, 1.0, 4.0, False, 2)),
        ("path", [(ONCE, 1.0), (BACK, 4.0)], (2.5, 2.5, 2.5, False, 1)),
        ("similarity", [(ONCE, 1.0), (BACK, 1.0)], (1.0, 1.0, 1.0, False, 1)),
        ("freeze", [(ONCE, 1.0 + i) for i in range(6)], (3.5, 1.0, 6.0, True, 6)),
        ("similarity", [(ONCE, 1.0), (BACK, 1.0), (ELSE, 4.0)], (2.5, 1.0, 4.0, False, 2)),
    ],
)
def test_other_metrics_get_their_range_and_one_pair_measured_twice_none(control, fits, expected):
    rows = [record(value=v, repeat=i, control=control, metric="m", **ends) for i, (ends, v) in enumerate(fits)]
    (point,) = Curves(rows, "honest").points("a", "m", control)
    assert (point.value, point.low, point.high, point.sure, point.seeds) == expected


def test_an_error_has_an_interval_where_examples_are_kept():
    row = record(value=25.0, metric="error")
    assert not Curves([row], "honest").points("a", "error")[0].sure
    wrong = np.arange(400) % 4 == 0
    row["examples"] = pack(100.0 * wrong, np.zeros(400), np.ones(400), "points")
    (point,) = Curves([row], "honest").points("a", "error")
    assert point.value == 25.0
    assert 20 < point.low < 23
    assert 27 < point.high < 30


def test_a_place_where_a_fit_failed_has_no_value():
    curves = Curves([*curve("a", *LOW), *lost("a", 0.6, repeat=1)], "honest")
    assert [(p.depth, failed(p)) for p in curves.places("a")] == [(0.3, False), (0.6, True)]
    assert [p.depth for p in curves.points("a")] == [0.3]


def test_differences_are_fit_by_fit():
    """Two pairs that differ much from each other, but by the same amount between the curves."""
    rows = [
        record(line, value=value + 10 * repeat, repeat=repeat, top=f"t{repeat}", **ALIKE)
        for line, value in (("a", 1.0), ("b", 3.0))
        for repeat in range(2)
    ]
    one, other = (curves_series(line) for line in "ab")
    (found,) = Curves(rows, "honest").differences(one, other).values()
    assert (found.value, found.low, found.high, found.sure) == (-2.0, -2.0, -2.0, False)  # two fits are few
    (half,) = Curves(rows, "honest").combined(lambda a, b: (a + b) / 2, one, other).values()
    assert (half.value, half.low, half.high) == (7.0, 2.0, 12.0)
    assert Curves(rows[1:], "honest").differences(one, other) == {}


def curves_series(line):
    return likeness.similarity(line)
