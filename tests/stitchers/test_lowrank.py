"""Maps of every rank against the truncated prediction."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from modelstitch.moments.moments import Moments
from modelstitch.stitchers import Site
from modelstitch.stitchers.lowrank import LowRank
from stitchers.closed_forms import affine, predict, sides, solve

pytestmark = pytest.mark.usefixtures("double")


@pytest.mark.parametrize(("p", "q"), [(6, 6), (4, 7), (8, 3)])
def test_every_rank_is_the_truncated_prediction(p, q):
    x, y = sides(p, q)
    fitted = affine(x, y) - y.mean(0)
    u, s, vt = np.linalg.svd(fitted, full_matrices=False)
    moments = Moments.of(torch.from_numpy(x), torch.from_numpy(y))
    found = LowRank.solve_ranks(moments, Site(p, q, "vector"), ridge=0.0)
    assert list(found) == list(range(1, min(p, q) + 1))
    for rank, stitcher in found.items():
        wanted = (u[:, :rank] * s[:rank]) @ vt[:rank] + y.mean(0)
        np.testing.assert_allclose(predict(stitcher, x), wanted, atol=1e-8)
        assert stitcher.up.shape == (q, rank)
        alone = solve(f"low-rank:{rank}", x, y)
        np.testing.assert_allclose(predict(alone, x), wanted, atol=2e-5 * y.std())
