"""Principal directions and the cosines between those of two sides, against numpy."""

import numpy as np
import pytest
import torch

from modelstitch.errors import MeasureError
from modelstitch.measures.subspace import PrincipalAxes, Subspaces
from modelstitch.moments.moments import Moments


def sides(n=50, p=6, q=4, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) * np.logspace(0, -2, p)
    return x, x @ rng.normal(size=(p, q)) + 0.3 * rng.normal(size=(n, q))


def cosines(x, y):
    """The singular values of the cross term of two orthonormal bases."""
    (u, _, _), (v, _, _) = (np.linalg.svd(side - side.mean(0), full_matrices=False) for side in (x, y))
    return np.linalg.svd(u.T @ v, compute_uv=False)


@pytest.mark.parametrize("way", ["activations", "moments"])
def test_directions_and_cosines_are_numpys(way):
    x, y = sides()
    a, b = torch.from_numpy(x), torch.from_numpy(y)
    found = Subspaces.of(a, b, "cca") if way == "activations" else Subspaces.from_moments(Moments.of(a, b), "cca")
    assert (found.n, found.x.rank, found.y.rank) == (50, 6, 4)
    scale = np.linalg.svd(x - x.mean(0), compute_uv=False)
    found_scale = found.x.scale.numpy()
    np.testing.assert_allclose(found_scale / found_scale[0], scale / scale[0], rtol=1e-6)
    np.testing.assert_allclose(np.linalg.svd(found.cross.numpy(), compute_uv=False), cosines(x, y), atol=1e-6)


def test_a_collinear_channel_is_no_direction():
    x, y = sides()
    x = np.column_stack([x, x[:, 0] - 2 * x[:, 1], np.ones(len(x))])
    for found in (
        Subspaces.of(torch.from_numpy(x), torch.from_numpy(y), "cca"),
        Subspaces.from_moments(Moments.of(torch.from_numpy(x), torch.from_numpy(y)), "cca"),
    ):
        assert found.x.rank == 6


@pytest.mark.parametrize(("share", "count"), [(0.5, 1), (0.64, 1), (0.65, 2), (1.0, 4)])
def test_so_many_directions_hold_a_share_of_the_variance(share, count):
    axes = PrincipalAxes(torch.tensor([8.0, 4.0, 4.0, 2.0]).double(), torch.eye(4).double())  # squares: 64, 16, 16, 4
    wanted = {1: 1, 2: 3, 4: 4}[count]  # equal ones are kept together
    assert axes.holding(share) == wanted


def test_leading_directions_alone():
    x, y = (torch.from_numpy(side) for side in sides())
    whole = Subspaces.of(x, y, "svcca")
    some = whole.leading(0.9)
    assert 1 <= some.x.rank < 6
    assert torch.equal(some.cross, whole.cross[: some.x.rank, : some.y.rank])


def test_sides_that_span_all_that_examples_can_are_refused():
    rng = np.random.default_rng(0)
    x, y = (torch.from_numpy(rng.normal(size=(10, k))) for k in (20, 3))
    found = Subspaces.of(x, y, "cca_mean")
    found.refuse_saturated("cca_mean", found.y)
    with pytest.raises(
        MeasureError,
        match=r"cca_mean is 1 whatever the activations .* found 9 directions in 10 examples; use more than 21",
    ):
        found.refuse_saturated("cca_mean", found.x, found.y)
