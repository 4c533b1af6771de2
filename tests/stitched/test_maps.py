"""A stitcher that is fitted to nothing has the shapes of one that is."""

import pytest
import torch

import modelstitch as ms
from modelstitch.errors import StitchError
from modelstitch.stitched.maps import blank, composed, rebuild
from modelstitch.stitched.sides import DonorSide
from modelstitch.stitchers import FAMILIES, Affine, Layout, Site, family_of

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


ASKED = {"objective": "match", "samples": 300}


@pytest.fixture(scope="module")
def ways(pair, digits):
    one, other = pair
    return [ms.stitch(a, b, "block2", digits, **ASKED) for a, b in ((one, other), (other, one))]


def test_a_round_trip_is_both_maps_and_says_what_it_explains(ways, pair, digits):
    there, back = ways
    again = there.round_trip(back)
    found = again.measure(digits)
    bottom = pair[0].bottom("block2")
    off = spread = 0.0
    values = []
    with torch.no_grad():
        for batch in digits.batches("test", 50):
            x = bottom(batch.inputs)
            values.append(x.double())
            off += float((back.stitcher(there.stitcher(x)) - x).double().square().sum())
        whole = torch.cat(values).movedim(1, -1).flatten(0, -2)
        spread = float((whole - whole.mean(0)).square().sum())
    assert found["r2"] == pytest.approx(1 - off / spread, abs=1e-5)
    assert found["penalty"] == pytest.approx(found["error"] - found["top_error"])
    assert again.seam == "zero@block2 -> zero@block2"


def test_measuring_by_hand_finds_the_variance_that_the_fit_found(ways, digits):
    there, _ = ways
    before = dict(there.metrics)
    assert there.measure(digits)["r2"] == pytest.approx(before["r2"], abs=1e-5)


def test_maps_that_do_not_lead_back_are_refused(ways, pair, digits):
    there, _ = ways
    with pytest.raises(StitchError, match="does not lead back from zero@block2 -> one@block2: expected the same two"):
        there.round_trip(there)


def test_two_maps_are_multiplied_and_others_refused():
    chance = torch.Generator().manual_seed(0)
    one, other = Affine.random(Site(4, 6, "tokens"), chance), Affine.random(Site(6, 4, "tokens"), chance)
    x = torch.randn(3, 5, 4, generator=chance)
    assert torch.allclose(composed(one, other)(x), other(one(x)), atol=1e-6)
    mlp = FAMILIES["mlp"].random(Site(6, 4, "tokens"), chance)
    with pytest.raises(StitchError, match="The way back takes two affine maps, found MLP: expected affine"):
        composed(one, mlp)
