"""Samples chosen as anchors."""

import numpy as np
import pytest

from modelstitch.arrays.anchors import anchors, chosen, rows_of
from modelstitch.arrays.given import vectors
from modelstitch.errors import ArrayError

RNG = np.random.default_rng(0)
CENTRES = np.array([[0, 0], [50, 0], [0, 50], [50, 50.0]])
X = (CENTRES[np.arange(80) % 4] + RNG.normal(size=(80, 2))).astype(np.float32)


@pytest.mark.parametrize("how", ["random", "k-means", "farthest"])
def test_as_many_different_rows_are_chosen_the_same_each_time(how):
    found = anchors(X, 12, how, seed=1)
    assert len(set(found.tolist())) == 12
    assert np.array_equal(found, anchors(X, 12, how, seed=1))


@pytest.mark.parametrize("how", ["k-means", "farthest"])
def test_four_clusters_get_an_anchor_each(how):
    assert set(anchors(X, 4, how) % 4) == {0, 1, 2, 3}


def test_farthest_first_is_what_it_says():
    found = anchors(X, 6, "farthest")
    for n in range(1, 6):
        away = np.linalg.norm(X[:, None] - X[found[:n]][None], axis=2).min(1)
        assert away[found[n]] == pytest.approx(away.max())
    assert np.array_equal(anchors(X, 3, "farthest"), found[:3])


def test_equal_rows_are_chosen_once_each():
    assert sorted(anchors(np.ones((5, 2)), 5, "farthest")) == [0, 1, 2, 3, 4]


def test_some_rows_may_be_left_out():
    among = np.arange(0, 80, 2)
    for how in ("random", "k-means", "farthest"):
        assert set(chosen(rows_of(vectors(X, "x")), among, 10, how, seed=0)) <= set(among)


def test_too_many_and_unknown_ways_are_refused():
    with pytest.raises(ArrayError, match="80 samples cannot give 81 anchors: expected 1 to as many"):
        anchors(X, 81)
    with pytest.raises(
        ArrayError, match="no way 'best' of choosing anchors: expected one of random, k-means, farthest"
    ):
        anchors(X, 2, "best")
