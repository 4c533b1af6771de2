"""False discoveries among many tests."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from modelstitch.stats.discoveries import controlled


@pytest.mark.parametrize(
    ("p", "q"),
    [
        ([], []),
        ([0.03], [0.03]),
        ([0.01, 0.02, 0.03, 0.04], [0.04] * 4),
        ([0.001, 0.5, 0.04, 0.9], [0.004, 2 / 3, 0.08, 0.9]),
        ([[0.02, 1.0], [0.5, 0.01]], [[0.04, 1.0], [2 / 3, 0.04]]),
    ],
)
def test_step_by_step(p, q):
    found = controlled(p)
    assert found.shape == np.shape(p)
    assert found == pytest.approx(np.array(q))


def test_they_are_those_of_scipy():
    p = np.random.default_rng(0).random((5, 7)) ** 2
    p[2] = p[3]  # ties
    assert controlled(p).ravel() == pytest.approx(false_discovery_control(p.ravel()))
