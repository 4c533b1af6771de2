"""Penalties as they are printed."""

import pytest

from modelstitch.report.sentences.units import UnitScale, scale_of, shown, tick

NATS, POINTS = "nats/token", "points"
CASES = {
    "points": ((12.34, 10.02, 15.5, POINTS), "+12.3 [+10.0, +15.5]"),
    "one example of six hundred": ((-0.1675, -0.5025, 0.0, POINTS), "-0.2 [-0.5, +0.0]"),
    "small nats": ((0.0014, 0.0009, 0.0019, NATS), "+0.0014 [+0.0009, +0.0019]"),
    "usual nats": ((0.314, 0.25, 0.38, NATS), "+0.31 [+0.25, +0.38]"),
    "nothing": ((0.0, 0.0, 0.0, NATS), "+0.00 [+0.00, +0.00]"),
    "below 0, hardly": ((-1e-9, -1e-9, -1e-9, POINTS), "+0.0 [+0.0, +0.0]"),
    "around 0, hardly": ((1e-9, -4e-7, 4e-7, NATS), "+0.00 [+0.00, +0.00]"),
    "no interval": ((-2.25, None, None, POINTS), "-2.2"),
}


@pytest.mark.parametrize("case", CASES)
def test_digits_tell_the_ends_of_an_interval_apart(case):
    (value, low, high, unit), text = CASES[case]
    assert shown(value, low, high, unit=unit) == text


def test_other_units_are_judged_around_what_is_near():
    as_points = UnitScale.around(3.0)
    assert (as_points.near, as_points.far, as_points.linear, as_points.digits) == (3, 10, 5, 1)
    squares = UnitScale.around(177.3)
    assert (squares.near, squares.far, squares.linear, squares.digits) == (180, 590, 300, 0)
    assert [tick(t) for t in squares.ticks_within(-250, 1000)] == ["−200", "−100", "0", "+100", "+200", "+500", "+1000"]
    small = UnitScale.around(0.0123)
    assert (small.near, small.digits) == (0.012, 3)
    assert small.ticks_within(0, 0.03) == [0, 0.01, 0.02]
    assert len(small.ticks_within(-3e5, 3e5)) <= 17


def test_points_of_something_are_points_and_unknown_units_are_not_judged():
    assert scale_of("points of pixels") == scale_of("points")
    assert (scale_of("mm").near, scale_of("mm").far) == (0, 0)
