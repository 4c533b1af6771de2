"""Thin, deep ResNets: their depth in weighted layers, and where they change width."""

import pytest
import torch
from torch import nn

from modelstitch.zoo.nets.cifar_resnet import resnet, resnet164


@pytest.mark.parametrize("depth", [8, 20, 32])
def test_a_resnet_is_as_deep_as_its_name_says(depth):
    net = resnet(depth, 4)
    within = [m for name, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear) and "shortcut" not in name]
    assert len(within) == depth


def test_so_is_the_one_of_bottlenecks():
    net = resnet164(4)
    within = [m for name, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear) and "shortcut" not in name]
    assert len(within) == 164


def test_three_stages_double_the_width_and_halve_the_size():
    net, sizes = resnet(8, 4).eval(), []
    x = net.stem(torch.rand(1, 3, 32, 32))
    for i in range(1, 4):
        x = getattr(net, f"block{i}")(x)
        sizes.append(tuple(x.shape[1:]))
    assert sizes == [(4, 32, 32), (8, 16, 16), (16, 8, 8)]
