"""Distance correlation sees what no linear measure sees."""

from __future__ import annotations

import numpy as np
import pytest

from modelstitch import measures as s


def test_a_dependence_that_is_not_linear_shows():
    x = np.random.default_rng(0).normal(size=(400, 1))
    folded, other = x**2, np.random.default_rng(1).normal(size=(400, 1)) ** 2
    assert s.linear_cka(x, folded) < 0.05
    assert s.distance_correlation(x, folded) > 0.4 > 0.2 > s.distance_correlation(x, other)


def test_in_one_dimension_a_line_is_one():
    x = np.random.default_rng(2).normal(size=(50, 1))
    assert s.distance_correlation(x, -3 * x + 1) == pytest.approx(1)
