"""Values whose batch is not first, or folded into another axis: listed, cut exactly, and brought to the batch first."""

import pytest
import torch
from torch import nn

import modelstitch as ms


class Chain(nn.Module):
    """Two linear layers between what moves the axes and what moves them back."""

    def __init__(self, there, back, width=6):
        super().__init__()
        self.there, self.back = there, back
        self.one, self.act, self.two = nn.Linear(width, 5), nn.Tanh(), nn.Linear(5, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        y = self.two(self.act(self.one(self.there(x))))
        return self.head(self.back(y, x))


class Convolved(nn.Module):
    """Two convolutions over maps between what moves the axes and what moves them back."""

    def __init__(self, there, back):
        super().__init__()
        self.there, self.back = there, back
        self.one, self.two, self.head = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 5, 3, stride=2), nn.Linear(5, 3)

    def forward(self, x):
        return self.head(self.back(self.two(self.one(self.there(x)).relu()).mean((2, 3)), x))


def mean(*axes):
    return lambda y, x: y.mean(axes)


# name: module, one example, {layer: (kind, shape)}, how the module's own value is moved by hand to the batch first
CASES = {
    "positions first": (
        lambda: Chain(lambda x: x.transpose(0, 1), mean(0)),
        (7, 6),
        {"one": ("tokens", (7, 5)), "two": ("tokens", (7, 5))},
        lambda y, n: y.transpose(0, 1),
    ),
    "frames folded behind the batch": (
        lambda: Convolved(lambda x: x.flatten(0, 1), lambda y, x: y.view(x.shape[0], -1, 5).mean(1)),
        (3, 2, 7, 9),
        {"one": ("volume", (4, 3, 7, 9)), "two": ("volume", (5, 3, 3, 4))},
        lambda y, n: y.view(n, 3, *y.shape[1:]).transpose(1, 2),
    ),
    "frames folded before the batch": (
        lambda: Convolved(
            lambda x: x.transpose(0, 1).reshape(-1, *x.shape[2:]),
            lambda y, x: y.view(x.shape[1], x.shape[0], 5).mean(0),
        ),
        (3, 2, 7, 9),
        {"one": ("volume", (4, 3, 7, 9)), "two": ("volume", (5, 3, 3, 4))},
        lambda y, n: y.view(3, n, *y.shape[1:]).permute(1, 2, 0, 3, 4),
    ),
    "frames of tokens": (
        lambda: Chain(lambda x: x.flatten(0, 1), lambda y, x: y.view(x.shape[0], -1, 5).mean(1)),
        (3, 4, 6),
        {"one": ("tokens", (12, 5))},
        lambda y, n: y.reshape(n, 12, 5),
    ),
    "frames of vectors": (
        lambda: Chain(lambda x: x.flatten(0, 1), lambda y, x: y.view(x.shape[0], -1, 5).mean(1)),
        (3, 6),
        {"one": ("tokens", (3, 5))},
        lambda y, n: y.view(n, 3, 5),
    ),
    "frames of maps, channels last": (
        lambda: Chain(lambda x: x.flatten(0, 1), lambda y, x: y.mean((1, 2)).view(x.shape[0], -1, 5).mean(1)),
        (3, 4, 2, 6),
        {"one": ("lattice", (3, 4, 2, 5))},
        lambda y, n: y.view(n, 3, 4, 2, 5),
    ),
    "lattice": (
        lambda: Chain(lambda x: x, mean(1, 2, 3)),
        (3, 4, 2, 6),
        {"one": ("lattice", (3, 4, 2, 5))},
        lambda y, n: y,
    ),
    "four positions": (
        lambda: Chain(lambda x: x, mean(1, 2, 3, 4)),
        (3, 2, 2, 2, 6),
        {"one": ("tokens", (24, 5))},
        lambda y, n: y.reshape(n, 24, 5),
    ),
    "one number for each sample": (
        lambda: nn.Sequential(nn.Linear(6, 1), nn.Flatten(0), nn.Unflatten(0, (-1, 1)), nn.Linear(1, 3)),
        (6,),
        {"1": ("vector", (1,))},
        lambda y, n: y.view(n, 1),
    ),
}


def hooked(module, layer, x):
    """What the module itself gives there."""
    seen = []
    handle = module.get_submodule(layer).register_forward_hook(lambda m, a, result: seen.append(result))
    module(x)
    handle.remove()
    return seen[0]


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("n", [1, 4])
def test_activations_come_with_the_batch_first(name, n):
    build, shape, wanted, by_hand = CASES[name]
    torch.manual_seed(0)
    module = (
        build().eval().requires_grad_(False)
    )  # else a linear layer rounds otherwise where its input lies apart in memory
    net = ms.Network(module, torch.randn(2, *shape), "net")
    x = torch.randn(n, *shape)
    for layer, (kind, sizes) in wanted.items():
        found = net.layer(layer)
        assert (found.kind, found.shape, found.exact) == (kind, sizes, True)
        activation = net.bottom(layer)(x)
        assert torch.equal(activation, by_hand(hooked(module, layer, x), n))
        assert torch.equal(net.taps([layer])(x)[layer], activation)
        for memory in (activation, activation.contiguous()):
            torch.testing.assert_close(net.top(layer)(memory), module(x))
        assert torch.equal(net.top(layer)(activation), module(x))
    for first, second in zip(net.cuts, net.cuts[1:]):
        values = net.taps([first, second])(x)
        assert torch.equal(net.segment(first, second)(values[first]), values[second])


NOT_THERE = {
    "complex numbers": (
        lambda: nn.Sequential(nn.Linear(6, 4), Fourier(), Real(), nn.Linear(3, 3)),
        (6,),
        "1",
        "its numbers are complex",
    ),
    "channels that no operation names": (
        lambda: nn.Sequential(nn.Linear(48, 48), nn.Unflatten(1, (2, 2, 3, 4)), nn.Flatten(), nn.Linear(48, 3)),
        (48,),
        "1",
        "which axis of its axes (n, 2, 2, 3, 4) holds the channels",
    ),
}


class Fourier(nn.Module):
    def forward(self, x):
        return torch.fft.rfft(x)


class Real(nn.Module):
    def forward(self, x):
        return x.abs()


@pytest.mark.parametrize("name", NOT_THERE)
def test_what_cannot_be_arranged_is_no_cut_and_says_why(name):
    build, shape, layer, why = NOT_THERE[name]
    net = ms.Network(build().eval(), torch.randn(2, *shape), "net")
    assert layer not in net.cuts
    assert layer not in net.blocks
    with pytest.raises(ms.StitchError, match=why.replace("axes (n, 2, 2, 3, 4)", r"axes \(n, 2, 2, 3, 4\)")) as refused:
        net.top(layer)
    assert "nearest exact cut" in str(refused.value) or not net.cuts
