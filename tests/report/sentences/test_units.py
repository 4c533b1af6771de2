"""Penalties as they are printed."""

import pytest

from modelstitch.report.sentences.units import shown

NATS, POINTS = "nats/token", "points"
CASES = {
    "points": ((12.34, 10.02, 15.5, POINTS), "+12.3 [+10.0, +15.5]"),
    "one example of six hundred": ((-0.1675, -0.5025, 0.0, POINTS), "-0.2 [-0.5, +0.0]"),
    "small nats": ((0.0014, 0.0009, 0.0019, NATS), "+0.0014 [+0.0009, +0.0019]"),
    "usual nats": ((0.314, 0.25, 0.38, NATS), "+0.31 [+0.25, +0.38]"),
    "nothing": ((0.0, 0.0, 0.0, NATS), "+0.00 [+0.00, +0.00]"),
    "below 0, hardly": ((-1e-9, -1e-9, -1e-9, POINTS), "+0.000000 [+0.000000, +0.000000]"),
    "no interval": ((-2.25, None, None, POINTS), "-2.2"),
}


@pytest.mark.parametrize("case", CASES)
def test_digits_tell_the_ends_of_an_interval_apart(case):
    (value, low, high, unit), text = CASES[case]
    assert shown(value, low, high, unit=unit) == text
