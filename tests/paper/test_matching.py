"""Weight matching: the function stays, a permuted copy is found again, what it cannot read is named."""

import pytest
import torch
from torch import nn

from modelstitch.errors import NetworkError
from modelstitch.paper.matching import channel_groups, match_channels, permuted
from modelstitch.paper.probes.path import between
from modelstitch.zoo.nets import build

NETS = {
    "small-resnet?width=6&blocks=4": (1, 8),
    "preact-resnet18?width=4": (3, 32),
    "resnet20?width=4": (3, 32),
    "myrtle?width=3": (3, 32),
}


def inputs(net):
    channels, size = NETS[net]
    return torch.rand(4, channels, size, size, generator=torch.Generator().manual_seed(0))


def trained_like(net, seed):
    """Statistics and scales that differ from channel to channel, as training leaves them."""
    module = build(net, seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor in (part.running_mean, part.running_var, part.weight.data, part.bias.data):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return module


def random_orders(module, seed):
    generator = torch.Generator().manual_seed(seed)
    sizes = {}
    state = module.state_dict()
    for name, axes in channel_groups(module).items():
        for dim, group in enumerate(axes):
            if group is not None:
                sizes[group] = state[name].shape[dim]
    return {group: torch.randperm(size, generator=generator) for group, size in sizes.items()}


@pytest.mark.parametrize("net", NETS)
def test_another_order_of_channels_is_the_same_function(net):
    module, x = trained_like(net, 0), inputs(net)
    other = permuted(module, random_orders(module, 1))
    assert any(not torch.equal(a, b) for a, b in zip(module.parameters(), other.parameters()))
    torch.testing.assert_close(other(x), module(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("net", NETS)
def test_a_permuted_copy_is_found_again(net):
    module = trained_like(net, 0)
    found = match_channels(module, permuted(module, random_orders(module, 1)))
    for name, value in module.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name


def test_matching_keeps_the_function_and_brings_weights_nearer():
    net = "small-resnet?width=6&blocks=4"
    one, other, x = trained_like(net, 0), trained_like(net, 1), inputs(net)
    found = match_channels(one, other)
    torch.testing.assert_close(found(x), other(x), rtol=1e-4, atol=1e-4)

    def likeness(module):
        return sum(float((a * b).sum()) for a, b in zip(one.parameters(), module.parameters()))

    assert likeness(found) > likeness(other)


def test_the_ends_of_a_path_are_the_networks():
    net = "small-resnet?width=6&blocks=4"
    one, other, x = trained_like(net, 0), trained_like(net, 1), inputs(net)
    assert torch.equal(between(one, other, 0.0)(x), one(x))
    assert torch.equal(between(one, other, 1.0)(x), other(x))


def test_other_networks_are_refused():
    with pytest.raises(NetworkError, match=r"Channels cannot be matched through 'a' \(MultiheadAttention\)"):
        channel_groups(nn.ModuleDict({"a": nn.MultiheadAttention(4, 2)}))
    with pytest.raises(NetworkError, match="one architecture"):
        match_channels(build("small-resnet?width=6"), build("small-resnet?width=5"))
