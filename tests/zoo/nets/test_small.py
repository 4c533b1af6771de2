"""The donor of the demo: where its size and width change."""

import torch

from modelstitch.zoo.nets.small import small_resnet


def test_the_third_block_halves_the_size_and_doubles_the_width():
    net, sizes = small_resnet(4, blocks=4).eval(), []
    x = net.stem(torch.rand(1, 1, 8, 8))
    for i in range(1, 5):
        x = getattr(net, f"block{i}")(x)
        sizes.append(tuple(x.shape[1:]))
    assert sizes == [(4, 8, 8), (4, 8, 8), (8, 4, 4), (8, 4, 4)]
    assert net.head.in_features == 8


def test_fewer_blocks_keep_the_width():
    assert small_resnet(4, blocks=2)(torch.rand(2, 1, 8, 8)).shape == (2, 10)
