"""Convnets without shortcuts: widths, sizes, and where the paper cuts."""

import pytest
import torch
from torch import nn

from modelstitch.zoo.nets.chains import myrtle, vgg


def shapes(net, x):
    found = []
    for part in net:
        x = part(x)
        found.append(tuple(x.shape[1:]))
    return found


def test_the_myrtle_network_doubles_its_width_and_halves_its_size_thrice():
    net = myrtle(4).eval()
    found = shapes(net, torch.rand(1, 3, 32, 32))
    convolutions, activations = found[0:10:2], found[1:10:2]
    assert [c for c, *_ in convolutions] == [4, 8, 16, 32, 64]
    assert [h for _, h, _ in activations] == [32, 16, 8, 4, 4]
    assert found[-2:] == [(64,), (10,)]


@pytest.mark.parametrize(("depth", "convolutions"), [(11, 8), (16, 13)])
def test_vgg_has_as_many_weighted_layers_as_its_name_says(depth, convolutions):
    net = vgg(depth, 4).eval()
    assert (
        sum(isinstance(part, nn.Conv2d) for part in net.modules()) == convolutions
    )  # three linear layers are one here
    found = shapes(net, torch.rand(1, 3, 32, 32))
    assert found[-3] == (32, 1, 1)
    assert max(c for c, *_ in found[:-1]) == 32
    assert sum(isinstance(part, nn.MaxPool2d) for part in net.modules()) == 5
