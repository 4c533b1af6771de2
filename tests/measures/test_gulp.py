"""GULP: the triangle inequality, what the ridge does, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from problems import related

from modelstitch import measures as s
from modelstitch.errors import MeasureError


@pytest.mark.parametrize("ridge", [1e-4, 1e-2, 1.0])
def test_it_is_a_metric(ridge):
    x, y = related(np.random.default_rng(0), 60, 5, 4)
    z = np.random.default_rng(1).normal(size=(60, 3))
    a, b, c = (s.gulp(*sides, ridge=ridge) for sides in ((x, y), (y, z), (x, z)))
    assert c <= a + b + 1e-12
    assert s.gulp(x, x, ridge=ridge) == pytest.approx(0, abs=1e-6)


def test_without_a_ridge_left_it_forgets_an_invertible_map_and_with_a_large_one_not():
    x, _ = related(np.random.default_rng(2), 200, 4, 4)
    moved = x @ np.diag([1, 3, 0.3, 10.0])
    assert s.gulp(x, moved, ridge=1e-9) < 1e-3 < 0.02 < s.gulp(x, moved, ridge=1.0)


@pytest.mark.parametrize("ridge", [0.0, -1.0, float("nan")])
def test_a_ridge_below_zero_is_refused(ridge):
    x, y = related(np.random.default_rng(3), 20, 3, 3)
    with pytest.raises(MeasureError, match="gulp needs a ridge above 0"):
        s.gulp(x, y, ridge=ridge)
