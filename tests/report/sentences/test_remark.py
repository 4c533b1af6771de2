"""How values and places are said in a sentence."""

import pytest

from modelstitch.report.frame import Point
from modelstitch.report.sentences.remark import amount, layers, listed


def point(value, low, high, unit="points", sure=True, layer="block1"):
    return Point(layer, 0.5, layer, value, low, high, sure, unit, 1)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (point(1.24, 0.5, 2.0), "+1.2 points [+0.5, +2.0]"),
        (point(-0.04, -1.0, 1.0), "0.0 points [\u22121.0, +1.0]"),
        (point(-3.0, -4.0, -2.0), "\u22123.0 points [\u22124.0, \u22122.0]"),
        (point(0.1234, 0.0, 0.25, "nats/token"), "+0.12 nats/token [0.00, +0.25]"),
        (point(2.0, 2.0, 2.0, sure=False), "+2.0 points (no interval)"),
    ],
)
def test_a_value_with_its_interval_and_unit(found, text):
    assert amount(found) == text


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c", "d"], "a, b, c and d"),
        (["a", "b", "c", "d", "e"], "5 layers (first a, last e)"),
    ],
)
def test_layers_in_a_row_or_how_many(names, text):
    assert listed(names) == text
    assert layers([point(0, 0, 0, layer=name) for name in names]) == text
