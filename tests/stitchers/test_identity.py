"""No map at all: the tensor itself, where as many channels come in as go out."""

import pytest
import torch

from modelstitch.errors import ShapeError
from modelstitch.moments.moments import Moments
from modelstitch.stitchers import Site
from modelstitch.stitchers.identity import Identity


def test_the_activation_itself():
    x = torch.randn(6, 3)
    identity = Identity.solve(Moments.of(x, 2 * x), Site(3, 3, "vector"))
    assert identity(x) is x
    assert identity.parameter_count == 0
    assert not identity.trainable
    weight, bias = identity.affine_form()
    assert torch.equal(weight, torch.eye(3, dtype=torch.float64))
    assert not bias.any()


def test_unequal_channels_have_none():
    for make in (Identity, Identity.check_site):
        with pytest.raises(ShapeError, match="The family 'identity' needs as many channels"):
            make(Site(3, 4, "map"))
