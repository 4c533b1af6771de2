"""Distances between examples against scipy, and when two of them tie."""

import numpy as np
import pytest
import scipy.spatial
import torch

from modelstitch.errors import MeasureError
from modelstitch.measures import distances as room
from modelstitch.measures.distances import distances, tolerance


def test_distances_are_scipys():
    x = np.random.default_rng(0).normal(size=(30, 5)) + 1e6
    found = distances(torch.from_numpy(x), "rsa")
    wanted = scipy.spatial.distance.squareform(scipy.spatial.distance.pdist(x))
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-9)


def test_equal_examples_lie_at_distance_nothing_far_from_the_origin():
    x = torch.full((3, 4), 1e8, dtype=torch.float64) + torch.tensor([[0.0], [0.0], [1.0]], dtype=torch.float64)
    found = distances(x, "knn")
    assert float(found[0, 1]) == 0
    assert float(found[0, 2]) == pytest.approx(2.0)


def test_an_orthogonal_map_breaks_no_tie():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 6))
    turned = x @ np.linalg.qr(rng.normal(size=(6, 6)))[0] + 3
    one, other = (distances(torch.from_numpy(side), "knn") for side in (x, turned))
    assert bool(((one - other).abs() <= tolerance(one, one.max())).all())
    assert bool((tolerance(one, one.max()) < 1e-6 * one.max()).all())


def test_more_than_fits_is_refused(monkeypatch):
    def refused(n, what, hint):
        raise MeasureError(f"{what} need {n}: {hint}")

    monkeypatch.setattr(room, "require", refused)
    with pytest.raises(
        MeasureError, match="The distances that rsa takes between 2,000 examples need 192000000: use fewer examples"
    ):
        distances(torch.zeros(2000, 1), "rsa")
