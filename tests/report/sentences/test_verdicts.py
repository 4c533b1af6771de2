"""What counts as near, off, rising or as good."""

import pytest

from modelstitch.report.frame import Point
from modelstitch.report.sentences import verdicts


def point(value, low=None, high=None, depth=0.5, unit="points"):
    low, high = value if low is None else low, value if high is None else high
    return Point("block", depth, "block", value, low, high, True, unit, 1)


@pytest.mark.parametrize(
    ("low", "high", "unit", "state"),
    [
        (-1.0, 2.0, "points", "near"),
        (-3.0, 3.0, "points", "near"),
        (-5.0, -1.0, "points", "better"),
        (-2.0, -1.0, "points", "near"),
        (3.1, 9.0, "points", "off"),
        (2.0, 9.0, "points", "open"),
        (-9.0, 9.0, "points", "open"),
        (0.05, 0.09, "nats/token", "near"),
        (0.11, 0.2, "nats/token", "off"),
    ],
)
def test_where_an_interval_lies(low, high, unit, state):
    found = point((low + high) / 2, low, high, unit=unit)
    assert verdicts.state(found) == state
    assert verdicts.low(found) is (state in ("near", "better"))


def test_a_curve_rises_in_rank_and_beyond_its_intervals():
    steep = [point(v, v - 0.4, v + 0.4, d) for v, d in ((0, 0.1), (1, 0.4), (3, 0.7), (6, 0.9))]
    assert verdicts.rises(steep)
    assert not verdicts.rises(steep[:1])
    assert not verdicts.rises(steep[::-1])
    assert not verdicts.rises([point(p.value, p.value - 4, p.value + 4, p.depth) for p in steep])
    bumpy = [point(v, depth=d) for v, d in ((0, 0.1), (9, 0.3), (1, 0.5), (8, 0.7), (2, 0.9))]
    assert not verdicts.rises(bumpy)


def test_a_control_is_as_good_unless_it_lies_wholly_above():
    pair = point(1.0, 0.5, 1.5)
    assert verdicts.as_good(point(1.4, 1.2, 2.0), pair)
    assert verdicts.as_good(point(1.5, 1.5, 2.0), pair)
    assert not verdicts.as_good(point(2.0, 1.6, 3.0), pair)


def test_the_normalised_penalty():
    pair, own, random = point(2.0), point(1.0, 0.5, 1.5), point(9.0, 8.0, 10.0)
    assert verdicts.normalised(pair, own, random) == pytest.approx(1 / 8)
    assert verdicts.normalised(pair, own, point(9.0, 1.5, 20.0)) is None  # random and self do not differ


def test_the_middle_leaves_the_early_and_the_late_out():
    found = verdicts.middle([point(0.0, depth=d) for d in (0.1, 0.2, 0.3, 0.79, 0.8, 1.0)])
    assert [p.depth for p in found] == [0.3, 0.79]
