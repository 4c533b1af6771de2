"""Figures of single samples show what was counted."""

import pytest

import modelstitch as ms
from modelstitch.errors import StudyError


@pytest.fixture(scope="module")
def made(pair, digits):
    return ms.compare(*pair, digits, layers=["block1", "block2"], objective="match", controls=())


def test_lost_less_gained_is_the_penalty(made):
    figure = made.figure("breaks")
    so_far, lost, gained = (line.get_ydata() for line in figure.axes[0].lines)
    bottom, top = made.pairs[0]
    values = made.frame.filter(metric="penalty", bottom=bottom, top=top).sort("top_depth")["value"].to_list()
    assert [a - b for a, b in zip(lost, gained)] == pytest.approx(values)
    assert all(a >= b - 1e-9 for a, b in zip(so_far, lost))
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["block1", "block2"]


def test_every_class_has_a_row(made):
    figure = made.figure("classes")
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == [str(i) for i in range(10)]


def test_groups_of_samples_are_those_of_the_networks(made):
    figure = made.figure("difficulty")
    rows = made.difficulty()
    text = [t.get_text() for t in figure.axes[0].texts]
    for count, name in ((2, "all networks"), (1, "one network"), (0, "no network")):
        n = rows.filter(networks_right=count).height
        assert (f"{name}\n({n} samples)" in text) == (n > 0)


def test_one_network_has_no_profile(pair, digits):
    own = ms.compare(pair[0], pair[0], digits, layers="block2", objective="match", controls=(), both=False)
    with pytest.raises(StudyError, match="two networks at least, found 1"):
        own.figure("difficulty")
