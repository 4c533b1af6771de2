"""Parts of the convnets, against what they stand for."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from modelstitch.zoo.nets.parts import PaddedConv, PreActivated, Residual, chain, pooled

X = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))


def test_convolutions_are_drawn_as_he_et_al_do():
    torch.manual_seed(0)
    conv = PaddedConv(64, 128)
    assert conv.bias is None
    assert conv.weight.std().item() == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.02)
    before = conv.weight.clone()
    conv.reset_parameters()
    assert not torch.equal(conv.weight, before)
    assert conv.weight.std().item() == pytest.approx(before.std().item(), rel=0.05)


@pytest.mark.parametrize(("outputs", "stride"), [(4, 1), (6, 1), (4, 2)])
def test_a_residual_block_is_its_formula(outputs, stride):
    block = Residual(4, outputs, stride).eval()
    same = outputs == 4 and stride == 1
    assert isinstance(block.shortcut, nn.Identity) is same
    skip = X if same else block.shortcut[1](block.shortcut[0](X))
    wanted = F.relu(block.norm2(block.conv2(F.relu(block.norm1(block.conv1(X))))) + skip)
    assert torch.equal(block(X), wanted)
    assert wanted.shape == (2, outputs, 8 // stride, 8 // stride)


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize(("outputs", "stride"), [(4, 1), (8, 2)])
def test_a_preactivated_block_is_its_formula(outputs, stride, bottleneck):
    block = PreActivated(4, outputs, stride, bottleneck=bottleneck).eval()
    first = F.relu(block.norms[0](X))
    y = first
    for i, conv in enumerate(block.convs):
        y = conv(F.relu(block.norms[i](y)) if i else y)
    skip = X if block.shortcut is None else block.shortcut(first)
    assert (block.shortcut is None) is (outputs == 4 and stride == 1)
    assert torch.equal(block(X), y + skip)
    kernels = [conv.kernel_size[0] for conv in block.convs]
    assert kernels == ([1, 3, 1] if bottleneck else [3, 3])
    assert block.convs[0].out_channels == (outputs // 4 if bottleneck else outputs)


def test_the_pool_is_a_mean_over_positions():
    assert torch.allclose(pooled()(X), X.mean((2, 3)), atol=1e-6)


def test_parts_keep_their_names():
    made = chain([("a", nn.ReLU()), ("b", nn.Identity())])
    assert [name for name, _ in made.named_children()] == ["a", "b"]
