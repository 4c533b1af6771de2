"""Relative maps against the formulas anchor by anchor, against those of arrays, and through networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import modelstitch as ms
from modelstitch.errors import FitError
from modelstitch.moments.moments import Moments
from modelstitch.stitchers import Site, family_of
from modelstitch.stitchers.adapters import rows
from modelstitch.stitchers.relative import unit

RNG = np.random.default_rng(0)
FAMILIES = ["relative", "relative-whitened"]


def solved(family, x, y):
    site = Site(x.shape[1], y.shape[1], "vector")
    cls, _ = family_of(family)
    moments = cls.looked(Moments.of(x, y), site, lambda below, above: Moments.of(below(x), above(y)))
    return cls.solve(moments, site).eval()


def sides(p, q, n=300):
    x = RNG.normal(size=(n, p)) + 1
    y = x @ RNG.normal(size=(p, q)) + 0.1 * RNG.normal(size=(n, q))
    return torch.from_numpy(x), torch.from_numpy(y)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("k", [4, 6, 50])
@pytest.mark.parametrize("q", [6, 9])
def test_cosines_to_the_bottoms_anchors_are_read_among_those_of_the_top(k, q):
    x, y = sides(6, q)
    described = unit(x) @ unit(x[:k]).T
    length = y[:k].norm(dim=1).mean()
    wanted = length * described @ torch.linalg.pinv(unit(y[:k]), rtol=1e-3).T
    torch.testing.assert_close(solved("relative", x[:k], y[:k])(x), wanted, rtol=1e-4, atol=float(1e-4 * length))


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("k", [5, 40])
def test_it_is_the_map_that_align_finds_of_arrays(family, k):
    x, y = sides(6, 9)
    w = ms.align(x[:k].numpy(), y[:k].numpy(), family)
    np.testing.assert_allclose(solved(family, x[:k], y[:k])(x).numpy(), w.transform(x.numpy()), rtol=1e-6, atol=1e-9)


def test_a_row_of_zeros_has_no_direction_and_is_mapped_all_the_same():
    x, y = sides(6, 9)
    assert bool(torch.isfinite(solved("relative", x, y)(torch.zeros(2, 6))).all())


@pytest.mark.parametrize("family", FAMILIES)
def test_sums_of_one_look_are_refused(family):
    cls, _ = family_of(family)
    with pytest.raises(FitError, match=f"{family!r} is solved from a second look at the rows: expected moments"):
        cls.solve(Moments.of(*sides(3, 3)), Site(3, 3, "vector"))


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["block1", "block2"])  # maps of two sizes
def test_through_networks_it_is_solved_from_the_rows_of_both(pair, digits, layer, tmp_path):
    few = digits.subset(30, seed=0)
    r = ms.compare(
        *pair, few, layers=[layer], family=["affine", *FAMILIES], objective="match", device="cpu", both=False
    )
    found = r.frame.filter(metric="penalty", control="pair")
    assert found["family"].to_list() == ["affine", *FAMILIES]
    assert r.frame.filter(metric="penalty", control="shuffled", family="relative").height == 1
    assert found["value"].is_finite().all()
    inputs = torch.cat([batch.inputs for batch in few.batches("fit", 30)])
    x, y = (rows(net.bottom(layer)(net.view(inputs)), "map") for net in pair)
    for family in FAMILIES:
        s = ms.stitch(*pair, layer, few, family=family, objective="match", augment=False, device="cpu")
        wanted = solved(family, x.double(), y.double())
        for name, value in wanted.state_dict().items():
            own = s.stitcher.state_dict()[name]
            torch.testing.assert_close(own, value, rtol=1e-3, atol=1e-3 * float(value.abs().max()))
        s.save(tmp_path / family)
        again = ms.Stitched.load(tmp_path / family, *pair)
        with torch.no_grad():
            assert torch.equal(again(inputs[:4]), s(inputs[:4]))
        with pytest.raises(ms.StitchError, match=f"{family!r} .* is not one affine map"):
            s.fold()
