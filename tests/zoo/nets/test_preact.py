"""Pre-activation ResNet-18: as in the paper's code, and its shortcuts only where the shape changes."""

import torch

from modelstitch.zoo.nets import build


def test_the_preactivation_network_has_no_norm_between_the_last_block_and_the_pool():
    net = build("preact-resnet18?width=4").eval()
    maps = net[:-2](torch.rand(2, 3, 32, 32))
    assert maps.shape == (2, 32, 4, 4)
    assert bool((maps < 0).any())
    assert torch.allclose(net.pool(maps), maps.mean((2, 3)), atol=1e-6)


def test_only_the_first_block_of_a_stage_changes_the_shape():
    net = build("preact-resnet18?width=4")
    changes = [getattr(net, f"block{i}").shortcut is not None for i in range(1, 9)]
    assert changes == [False, False, True, False, True, False, True, False]
    x, sizes = net.stem(torch.rand(1, 3, 32, 32)), []
    for i in range(1, 9):
        x = getattr(net, f"block{i}").eval()(x)
        sizes.append(tuple(x.shape[1:]))
    assert sizes == [(4, 32, 32)] * 2 + [(8, 16, 16)] * 2 + [(16, 8, 8)] * 2 + [(32, 4, 4)] * 2
