"""Values read off the paper's figures: every series that a figure names is there."""

import pytest

from modelstitch.paper.catalogue import FIGURES, figure
from modelstitch.paper.values import _table, errors, penalties, series


@pytest.mark.parametrize("name", FIGURES)
def test_every_series_that_a_figure_names_is_there(name):
    for one in (*figure(name).lines, *figure(name).probes):
        if one.paper:
            assert series(one.paper), one.paper


def test_every_series_stands_in_a_figure():
    parts = [one for name in FIGURES for one in (*figure(name).lines, *figure(name).probes)]
    assert set(_table()) == {one.paper for one in parts if one.paper}


def test_values_are_plausible_and_copies():
    assert _table()
    for name in _table():
        assert all(-100 <= value <= 100 for _, value in series(name))
    first = next(iter(_table()))
    series(first).clear()
    assert series(first)
    assert series("nothing of the kind") == []


def test_a_series_is_of_errors_or_of_penalties():
    for name in _table():
        assert bool(errors(name)) != bool(penalties(name))
    assert [name for name in _table() if errors(name)] == [
        "stitching, random resnet164 bottom: test error",
        "fine-tuning, random resnet164 bottom: test error",
    ]
