"""A stitcher that is fitted to nothing has the shapes of one that is."""

import pytest
import torch

from modelstitch.stitched.blank import blank, rebuild
from modelstitch.stitched.sides import DonorSide
from modelstitch.stitchers import FAMILIES, Layout, Site, family_of

LOW, HIGH = (DonorSide(name, "layer", "", Layout("map", (width, 4, 4))) for name, width in (("a", 3), ("b", 5)))
TRAINED = ("affine", "low-rank:2", "norm-affine-norm", "conv:3", "mlp:4")


@pytest.mark.parametrize("family", TRAINED)
def test_a_saved_state_goes_into_a_blank_one(family):
    cls, options = family_of(family)
    fitted = cls.random(Site(3, 5, "map"), torch.Generator().manual_seed(0), **options).double().eval()
    again = rebuild(family, LOW, HIGH, fitted.state_dict())
    x = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    assert torch.equal(again(x), fitted(x))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_has_one(family):
    written = next((name for name in TRAINED if name.partition(":")[0] == family), family)
    assert not blank(written, Site(4, 4, "map")).training
