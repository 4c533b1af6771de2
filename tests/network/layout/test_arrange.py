"""A value brought into one of the forms that a stitcher takes, the batch first, and back."""

import pytest
import torch
from torch import fx, nn

from modelstitch import Network
from modelstitch.network.layout.arrange import Arranged


def applied(arranged, value, method):
    graph = fx.Graph()
    x = graph.placeholder("x")
    graph.output(getattr(arranged, method)(graph, x))
    return fx.GraphModule(nn.Module(), graph)(value)


class Frames(nn.Module):
    """Frames folded into the batch, as networks over video do."""

    def __init__(self):
        super().__init__()
        self.each, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 5)

    def forward(self, x):  # (n, frames, 3, h, w)
        y = self.each(x.flatten(0, 1)).relu()
        return self.head(y.unflatten(0, (-1, 2)).mean((1, 3, 4)))


class Second(nn.Module):
    """A transformer with its samples second."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.TransformerEncoderLayer(8, 2, 16), nn.Linear(8, 5)

    def forward(self, x):  # (n, t, 8)
        return self.head(self.body(x.transpose(0, 1)).mean(0))


class Last(nn.Module):
    """Channels last."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(3, 6), nn.Linear(6, 5)

    def forward(self, x):  # (n, 3, h, w)
        return self.head(self.body(x.permute(0, 2, 3, 1)).relu().mean((1, 2)))


CASES = {
    "frames": (Frames, (2, 2, 3, 4, 4), "each", "volume", (4, 2, 4, 4)),
    "samples second": (Second, (2, 7, 8), "body", "tokens", (7, 8)),
    "channels last": (Last, (2, 3, 4, 5), "body", "grid", (4, 5, 6)),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_values_come_with_the_batch_first_and_go_back(case):
    make, size, layer, kind, shape = CASES[case]
    torch.manual_seed(0)
    module = make().eval()
    network = Network(module, torch.randn(size), "net")
    found = network.layer(layer)
    assert found.exact, found.why
    assert (found.kind, found.shape) == (kind, shape)
    x = torch.randn(3, *size[1:])
    with torch.no_grad():
        value = network.bottom(layer)(x)
        assert value.shape == (3, *shape)
        assert torch.allclose(
            network.top(layer)(value), module(x), atol=1e-6
        )  # a transformer has a faster way of its own


@pytest.mark.parametrize(
    ("arranged", "shape"),
    [
        (Arranged((4, 3), "tokens", raw=(-1, 4, 3)), (2, 4, 3)),
        (Arranged((4, 3), "tokens", order=(1, 0, 2), raw=(4, -1, 3)), (4, 2, 3)),
        (Arranged((1,), "vector", joined=(1,), raw=(-1,)), (2,)),
        (
            Arranged((3, 5, 4, 4), "volume", split=(-1, 5, 3, 4, 4), order=(0, 2, 1, 3, 4), raw=(-1, 3, 4, 4)),
            (10, 3, 4, 4),
        ),
        (
            Arranged((20, 3), "tokens", split=(-1, 5, 4, 3), joined=(20, 3), order=(0, 1, 2, 3), raw=(-1, 4, 3)),
            (10, 4, 3),
        ),
    ],
)
def test_there_and_back_moves_no_number(arranged, shape):
    value = torch.arange(float(torch.Size(shape).numel())).view(shape)
    moved = applied(arranged, value, "arrange")
    assert moved.shape == (2, *arranged.shape)
    assert torch.equal(applied(arranged, moved, "back"), value)
    assert arranged.as_it_is is (moved.shape == value.shape and torch.equal(moved, value) and not arranged.order)


class Complex(nn.Module):
    def forward(self, x):
        return torch.fft.fft(x)


def test_what_cannot_be_brought_there_says_why():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.wave, self.head = nn.Linear(3, 3), Complex(), nn.Linear(3, 5)

        def forward(self, x):
            return self.head(torch.fft.ifft(self.wave(self.body(x))).real)

    layer = Network(Net().eval(), torch.randn(2, 3), "net").layer("wave")
    assert not layer.exact
    assert layer.kind == "other"
    assert layer.why == "its numbers are complex, and a stitcher maps real ones"
