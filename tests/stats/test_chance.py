"""The level of chance, and who does hardly better."""

import pytest

from modelstitch.stats.chance import chance_error, hardly_better


@pytest.mark.parametrize(
    ("classes", "error", "poor"),
    [
        (10, 90.0, True),
        (10, 95.0, True),
        (10, 87.5, True),
        (10, 87.0, False),
        (2, 50.0, True),
        (2, 30.0, False),
        (1000, 99.9, True),
        (1000, 99.0, False),
    ],
)
def test_a_quarter_more_often_right_than_chance(classes, error, poor):
    assert hardly_better(error, chance_error(classes)) is poor
