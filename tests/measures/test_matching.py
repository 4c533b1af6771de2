"""Matching of features: what pairing finds, what a rotation hides, and both ways of the transport."""

from __future__ import annotations

import numpy as np
import pytest
from problems import related

from modelstitch import measures as s
from modelstitch.measures import matching


def pair(seed, n=80, p=6, q=6):
    return related(np.random.default_rng(seed), n, p, q)


def test_a_shuffle_of_features_is_found_and_a_rotation_is_not():
    x, _ = pair(0)
    order, turn = np.random.default_rng(1).permutation(6), np.linalg.qr(np.random.default_rng(2).normal(size=(6, 6)))[0]
    assert s.soft_matching(x, x[:, order]) == pytest.approx(1)
    assert s.procrustes_permutation(x, x[:, order]) == pytest.approx(0, abs=1e-12)
    assert s.soft_matching(x, x @ turn) < 0.9
    assert s.procrustes_permutation(x, x @ turn) > 0.1
    assert s.procrustes_distance(x, x @ turn) == pytest.approx(0, abs=1e-9)


def test_each_feature_may_have_its_own_scale_in_soft_matching():
    x, y = pair(3, q=4)
    assert s.soft_matching(x * np.logspace(-2, 2, 6), y) == pytest.approx(s.soft_matching(x, y), abs=1e-9)


def test_features_twice_are_the_same_features():
    x, y = pair(4, q=3)
    assert s.soft_matching(x, np.repeat(y, 2, axis=1)) == pytest.approx(s.soft_matching(x, y), abs=1e-9)


@pytest.mark.parametrize(("p", "q"), [(4, 6), (5, 7), (9, 9)])
def test_pieces_and_the_linear_programme_agree(p, q, monkeypatch):
    x, y = pair(5, p=p, q=q)
    pieces = s.soft_matching(x, y)
    monkeypatch.setattr(matching, "_COPIES", 0)
    assert s.soft_matching(x, y) == pytest.approx(pieces, abs=1e-9)


def test_with_the_narrower_side_filled_up():
    x, y = pair(6, q=3)
    filled = np.concatenate([y, np.zeros((len(y), 3))], axis=1)
    assert s.procrustes_permutation(x, filled) == pytest.approx(s.procrustes_permutation(x, y), abs=1e-12)
