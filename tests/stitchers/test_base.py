"""What every stitcher is.

A map at every position, in the type that the top expects, from moments that can be solved.
"""

import pytest
import torch
from torch import nn

from modelstitch.errors import FitError, NonFiniteError, ShapeError
from modelstitch.moments.moments import Moments
from modelstitch.stitchers.base import Site, Stitcher, apply_linear, mapped, need_equal, need_moments

SHAPES = {
    "vector": (2, 3),
    "tokens": (2, 5, 3),
    "sequence": (2, 3, 5),
    "map": (2, 3, 4, 5),
    "grid": (2, 4, 5, 3),
    "volume": (2, 3, 2, 4, 5),
}
FIRST = ("sequence", "map", "volume")


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("biased", [False, True])
def test_a_linear_map_is_the_same_at_every_position(kind, biased):
    torch.manual_seed(0)
    x, weight, bias = torch.randn(SHAPES[kind]), torch.randn(4, 3), torch.randn(4) if biased else None
    found = apply_linear(x, weight, bias, kind)
    rows = x.movedim(1, -1) if kind in FIRST else x
    wanted = rows @ weight.T + (bias if biased else 0)
    assert torch.allclose(found.movedim(1, -1) if kind in FIRST else found, wanted, atol=1e-5)


def test_networks_of_another_type_meet_the_map_in_its_own():
    linear = nn.Linear(3, 4, dtype=torch.float64)
    x = torch.randn(2, 3)
    found = mapped(linear, x, torch.bfloat16)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, linear(x.double()).bfloat16())
    assert mapped(nn.Identity(), x, torch.float32) is x


def test_unequal_channels_are_refused():
    need_equal(Site(4, 4, "map"), "identity")
    with pytest.raises(
        ShapeError,
        match="The family 'identity' needs as many channels below as above: expected 4, found 3; use 'affine'",
    ):
        need_equal(Site(3, 4, "map"), "identity")


def test_moments_from_which_nothing_can_be_solved_are_refused():
    x = torch.randn(5, 2)
    need_moments(Moments.of(x, x))
    with pytest.raises(FitError, match="at least 2 rows of activations, found 1: give more fit data"):
        need_moments(Moments.of(x[:1], x[:1]))
    broken = Moments.of(x, x)
    broken.xy[0, 0] = float("nan")
    with pytest.raises(NonFiniteError, match="The moments' xy holds NaN or infinity"):
        need_moments(broken)


class Plain(Stitcher):
    family = "plain"

    def __init__(self, site):
        super().__init__(site)
        self.weight = nn.Parameter(torch.zeros(site.q, site.p))


def test_what_a_family_has_without_saying_so():
    plain = Plain(Site(3, 4, "map"))
    assert plain.describe() == {"family": "plain", "parameters": 12, "invariance": "", "solved": ""}
    assert plain.affine_form() is None
    Plain.check_site(Site(1, 9, "vector"))
    with pytest.raises(ShapeError, match="The family 'plain' has no random start: use init='closed'"):
        Plain.random(Site(3, 4, "map"), torch.Generator())
