"""Passes in the layout that is quickest: on the device asked for, with the same values, also where strides are read."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from modelstitch.network import Network
from modelstitch.network.passes.channels_last import ChannelsLast, quick

CPU = torch.device("cpu")


class Windows(nn.Module):
    """Overlapping pairs of pixels, taken by their place in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(2, 3)

    def forward(self, x):
        y = self.conv(x)
        return self.head(y.as_strided((y.shape[0], 4, 8, 7, 2), (256, 64, 8, 1, 1)))


def test_what_reads_strides_keeps_its_layout():
    module, x = Windows().eval(), torch.randn(3, 3, 8, 8)
    with torch.no_grad():  # a convolution may round its last digit otherwise on another processor
        torch.testing.assert_close(quick(Network(module, x), ["head"], CPU)(x)["head"], module(x), rtol=1e-5, atol=1e-6)


def test_images_are_convolved_channels_last():
    net = Network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval(), torch.randn(2, 3, 8, 8))
    part = quick(net, ["0"], CPU)
    assert isinstance(part, ChannelsLast)
    assert part(torch.randn(2, 3, 8, 8))["0"].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("layer", [nn.Linear(8, 4), nn.Conv2d(3, 4, 3)], ids=["linear", "images"])
def test_a_part_is_moved_to_the_device(layer):
    net = Network(nn.Sequential(layer).eval().to("meta"), torch.randn(2, 3, 8, 8, device="meta"))
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):  # it is tried
        quick(net, ["0"], CPU)


@pytest.mark.parametrize("apart", [False, True])
def test_what_is_taken_apart_from_an_activation_lets_it_be_overwritten(apart):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    x = torch.randn(2, 3, 8, 8)
    held, copies = {}, {}

    def take(layer, value):
        held[layer], copies[layer] = value, value.clone()
        return value.sum()

    part = quick(Network(module, x), ["0", "1"], CPU, take, apart=apart)
    with torch.no_grad():
        part(x)
        expected = {"0": module[0](x), "1": module[:2](x)}
    for layer, value in expected.items():
        torch.testing.assert_close(copies[layer], value, rtol=1e-5, atol=1e-6)  # when it is taken
    assert torch.equal(held["0"], copies["0"]) is not apart  # later
    assert torch.equal(held["1"], copies["1"])  # its rectifier is not part of the pass
