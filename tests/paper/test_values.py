"""Values read off the paper's figures: every series that a figure names is there."""

import pytest

from modelstitch.paper.catalogue import FIGURES, figure
from modelstitch.paper.values import names, series


@pytest.mark.parametrize("name", FIGURES)
def test_every_series_that_a_figure_names_is_there(name):
    for one in (*figure(name).lines, *figure(name).probes):
        if one.paper:
            assert series(one.paper), one.paper


def test_values_are_plausible_and_copies():
    assert names()
    for name in names():
        assert all(-100 <= value <= 100 for _, value in series(name))
    series(names()[0]).clear()
    assert series(names()[0])
    assert series("nothing of the kind") == []
