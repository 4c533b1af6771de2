"""A convolution starts as the affine solution, keeps the size, and mixes the positions that its kernel spans."""

import pytest
import torch

from modelstitch.errors import ShapeError
from modelstitch.moments.moments import Moments
from modelstitch.stitchers import Affine, Site, rows
from modelstitch.stitchers.conv import Conv

SHAPES = {
    "sequence": (8, 3, 5),
    "map": (8, 3, 4, 5),
    "grid": (8, 4, 5, 3),
    "volume": (8, 3, 3, 4, 5),
    "lattice": (8, 3, 4, 5, 3),
}


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("kernel", [1, 3])
def test_it_starts_as_the_affine_solution(kind, kernel):
    torch.manual_seed(0)
    x = torch.randn(SHAPES[kind])
    flat = rows(x, kind)
    moments, site = Moments.of(flat, flat @ torch.randn(3, 4) + 1), Site(3, 4, kind)
    with torch.no_grad():
        found, wanted = Conv.solve(moments, site, kernel=kernel)(x), Affine.solve(moments, site)(x)
    assert found.shape == wanted.shape
    assert torch.allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("kind", ["sequence", "map", "grid", "lattice"])
def test_a_position_sees_as_far_as_the_kernel(kind):
    conv = Conv.random(Site(1, 1, kind), torch.Generator().manual_seed(0), kernel=3)
    size = {"sequence": (7,), "map": (7, 7), "grid": (7, 7), "lattice": (7, 7, 7)}[kind]
    last = kind in ("grid", "lattice")
    x = torch.zeros(1, *size, 1) if last else torch.zeros(1, 1, *size)
    silent = conv(x)
    x[(0, *[3] * len(size), 0) if last else (0, 0, *[3] * len(size))] = 1
    moved = (conv(x) - silent).squeeze().nonzero()
    assert int(moved.min()) == 2
    assert int(moved.max()) == 4
    assert len(moved) == 3 ** len(size)


def test_a_kernel_of_one_is_affine_and_a_wider_one_is_not():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 4)
    one = Conv.random(Site(3, 2, "map"), torch.Generator().manual_seed(1), kernel=1)
    weight, bias = one.affine_form()
    wanted = torch.einsum("qp,nphw->nqhw", weight, x.double()) + bias[:, None, None]
    assert torch.allclose(one(x).double(), wanted, atol=1e-5)
    assert Conv.random(Site(3, 2, "map"), torch.Generator(), kernel=3).affine_form() is None


@pytest.mark.parametrize(
    ("kind", "kernel", "words"),
    [
        ("vector", 3, "needs a map with height and width, a sequence or a volume, found vector; use 'affine' or 'mlp'"),
        ("tokens", 3, "found tokens"),
        ("map", 2, "The kernel size 2 cannot keep the size of a map: expected an odd number"),
        ("map", -1, "The kernel size -1"),
    ],
)
def test_sites_without_such_a_map_are_refused(kind, kernel, words):
    for make in (
        lambda s: Conv.check_site(s, kernel=kernel),
        lambda s: Conv.random(s, torch.Generator(), kernel=kernel),
    ):
        with pytest.raises(ShapeError, match=words):
            make(Site(3, 4, kind))
