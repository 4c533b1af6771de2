"""Counts and durations as a reader says them."""

import pytest

from modelstitch.support.words import counted, duration, first_of


@pytest.mark.parametrize(
    ("n", "words", "wanted"),
    [
        (0, ("cell",), "0 cells"),
        (1, ("cell",), "1 cell"),
        (2000, ("cell",), "2,000 cells"),
        (1, ("sweep", "sweeps of all"), "1 sweep"),
        (3, ("match", "matches"), "3 matches"),
    ],
)
def test_counts(n, words, wanted):
    assert counted(n, *words) == wanted


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [
        (0.4, "0 seconds"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (7199, "120 minutes"),
        (7200, "2.0 hours"),
        (12600, "3.5 hours"),
    ],
)
def test_durations(seconds, wanted):
    assert duration(seconds) == wanted


def test_some_of_many():
    assert first_of("abc") == "a, b, c"
    assert first_of("abcdef") == "a, b, c, d and 2 more"
    assert first_of("abcdef", 2, "; ") == "a; b and 4 more"
    assert first_of([]) == ""
