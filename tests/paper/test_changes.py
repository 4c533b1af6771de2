"""The changed networks of the thought experiments compute what the trained one does; the cut delivers the change."""

import pytest
import torch

from modelstitch import Network
from modelstitch.errors import UnknownLayerError
from modelstitch.paper.changes import append_coordinates, shuffle_positions
from modelstitch.zoo.nets import build

X = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def module():
    return build("small-resnet?width=4&blocks=3", seed=0).eval()


def test_appended_coordinates_are_beside_the_genuine_ones(module):
    net = Network(append_coordinates(module, "block2", example=X, count=50), X)
    assert torch.equal(net(X), module(X))
    changed = net.bottom("changed")(X)
    assert torch.equal(changed[:, :4], module[:3](X))
    noise = changed[:, 4:]
    assert changed.shape[1] == 54
    assert abs(float(noise.mean())) < 0.05
    assert float(noise.std()) == pytest.approx(1, abs=0.05)
    assert float(torch.corrcoef(noise.transpose(0, 1).flatten(1)).fill_diagonal_(0).abs().mean()) < 0.1


def test_appended_coordinates_stay_normal_under_bfloat16(module):
    """Rounded to eight bits a large number has no fractional part: all coordinates would be the same constant."""
    net = Network(append_coordinates(module, "block2", example=X, count=50), X)
    with torch.autocast("cpu", torch.bfloat16):
        noise = net.bottom("changed")(X)[:, 4:].float()
    assert abs(float(noise.mean())) < 0.05
    assert float(noise.std()) == pytest.approx(1, abs=0.05)


def test_shuffled_positions_are_put_back(module):
    net = Network(shuffle_positions(module, "block2", example=X), X)
    assert torch.equal(net(X), module(X))
    changed, plain = net.bottom("changed")(X), module[:3](X)
    assert not torch.equal(changed, plain)
    assert torch.equal(changed.flatten(2).sort(2).values, plain.flatten(2).sort(2).values)


def test_an_unknown_part_is_named(module):
    with pytest.raises(UnknownLayerError, match="There is no part 'block9': expected one of stem, block1"):
        shuffle_positions(module, "block9", example=X)
