"""A search by blocks against one that sorts everything, and ranks against counting."""

import numpy as np
import pytest

from modelstitch.arrays import given
from modelstitch.arrays.given import Vectors
from modelstitch.arrays.search import Index, check_search, nearest, shares
from modelstitch.errors import ArrayError

RNG = np.random.default_rng(0)
GALLERY, QUERIES = RNG.normal(size=(40, 5)).astype(np.float32), RNG.normal(size=(7, 5)).astype(np.float32)


def scores(queries, gallery, metric):
    if metric == "euclidean":
        return -np.linalg.norm(queries[:, None] - gallery[None], axis=2)
    if metric == "cosine":
        queries, gallery = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, gallery))
    return queries @ gallery.T


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("block", [60, 1 << 20])
def test_the_nearest_and_the_ranks_are_those_of_a_full_sort(metric, block, monkeypatch):
    monkeypatch.setattr(given, "_BLOCK", block)
    monkeypatch.setattr("modelstitch.arrays.search._QUERIES", 3)
    at = np.arange(3, 40)
    wanted = np.argsort(-scores(QUERIES, 2 * GALLERY[at] + 1, metric), axis=1)
    targets = RNG.integers(0, len(at), size=7)
    index = Index(Vectors(GALLERY).only(at), lambda x: 2 * x + 1, metric)
    found, ranks = nearest(QUERIES, index, 6, targets)
    np.testing.assert_array_equal(found, wanted[:, :6])
    np.testing.assert_array_equal(ranks, [1 + list(row).index(t) for row, t in zip(wanted, targets)])


def test_rows_as_near_as_the_target_share_their_rank():
    gallery = np.array([[1, 0], [0, 1], [1, 0], [-1, 0]], np.float32)
    _, ranks = nearest(np.array([[1, 0]], np.float32), Index(Vectors(gallery)), 2, np.array([2]))
    assert ranks.tolist() == [1.5]


def test_a_row_of_zeros_is_near_nothing_and_breaks_nothing():
    gallery = np.vstack([np.zeros((1, 5), np.float32), QUERIES])
    found, _ = nearest(QUERIES, Index(Vectors(gallery)), 1)
    np.testing.assert_array_equal(found[:, 0], np.arange(1, 8))


def test_shares_count_common_neighbours():
    found, truth = np.array([[1, 2, 3], [4, 5, 6]]), np.array([[1, 3, 9], [6, 5, 4]])
    one, three = shares(found, truth, [1, 3])
    assert one.tolist() == [100, 0]
    np.testing.assert_allclose(three, [200 / 3, 100])


@pytest.mark.parametrize(
    ("metric", "ks", "words"),
    [
        ("l2", [1], "metric 'l2' is unknown: expected one of cosine, dot, euclidean"),
        ("dot", [], "found none"),
        ("dot", [0, 1], "from 1 to the gallery's 40 rows: expected such numbers, found 0, 1"),
        ("dot", [41], "found 41"),
    ],
)
def test_a_search_that_cannot_be_made_is_refused(metric, ks, words):
    with pytest.raises(ArrayError, match=words):
        check_search(metric, ks, 40)
