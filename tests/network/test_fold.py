"""A map taken into the weights beside a cut: the same function, and donors as they were."""

import pytest
import torch
from torch import nn

from modelstitch import Network
from modelstitch.errors import FoldError
from modelstitch.network.fold import absorb_above, absorb_below

torch.manual_seed(0)


class Net(nn.Module):
    """A convolution under a norm, a padded one, and a linear layer behind a pool."""

    def __init__(self, groups=1, padding=0):
        super().__init__()
        self.one, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.two = nn.Conv2d(4, 6, 3, padding=padding, groups=groups)
        self.pool, self.head = nn.AvgPool2d(2), nn.Linear(6 * 2 * 2, 5)

    def forward(self, x):
        x = self.two(self.norm(self.one(x)))
        return self.head(torch.relu(self.pool(x)[:, :, :2, :2]).flatten(1))


def network(**options):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = Net(**options).double().eval()
        module.norm.running_mean.uniform_(-1, 1)
        module.norm.running_var.uniform_(0.5, 2)
        module.norm.weight.data.uniform_(0.5, 2)
    return Network(module, torch.randn(2, 3, 8, 8).double(), "net")


def affine(x, weight, bias):
    return torch.einsum("qp,nphw->nqhw", weight, x) + bias[:, None, None]


X = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(2)).double()
WEIGHT = torch.randn(5, 4, generator=torch.Generator().manual_seed(3)).double()
BIAS = torch.randn(5, generator=torch.Generator().manual_seed(4)).double()


@pytest.mark.parametrize(("layer", "into"), [("one", "one"), ("norm", "one")])
def test_below_a_cut_the_last_convolution_takes_it_in_also_through_a_norm(layer, into):
    net = network()
    bottom = net.bottom(layer)
    with torch.no_grad():
        wanted = affine(bottom(X), WEIGHT, BIAS)
        folded, name = absorb_below(bottom, WEIGHT, BIAS)
        assert torch.allclose(folded(X), wanted, atol=1e-12)
        assert torch.allclose(bottom(X), net.bottom(layer)(X))  # the segment itself is as it was
    assert name == into


@pytest.mark.parametrize("biased", [False, True])
def test_above_a_cut_every_reader_takes_it_in(biased):
    net = network()
    top = net.top("norm")
    weight, bias = torch.randn(4, 5).double(), torch.randn(4).double() * biased
    y = torch.randn(2, 5, 6, 6).double()
    with torch.no_grad():
        folded, names = absorb_above(top, weight, bias, "map")
        assert torch.allclose(folded(y), top(affine(y, weight, bias)), atol=1e-12)
    assert names == ["two"]


REFUSED = {
    "an activation": (lambda: absorb_below(network().bottom("head"), torch.eye(5), torch.zeros(5)), None),
    "groups below": (
        lambda: absorb_below(network(groups=2).bottom("two"), torch.eye(6), torch.zeros(6)),
        "two.* has 2 groups: expected one",
    ),
    "groups above": (
        lambda: absorb_above(network(groups=2).top("norm"), torch.eye(4), torch.zeros(4), "map"),
        "two.* has 2 groups",
    ),
    "padding": (
        lambda: absorb_above(network(padding=1).top("norm"), torch.eye(4), torch.ones(4), "map"),
        "pads with zeros and the map has a bias: expected no padding or no bias",
    ),
    "other channels below": (
        lambda: absorb_below(network().bottom("one"), torch.eye(3), torch.zeros(3)),
        "gives 4 channels, the map reads 3",
    ),
    "other channels above": (
        lambda: absorb_above(network().top("norm"), torch.eye(3), torch.zeros(3), "map"),
        "reads 4 values, the map gives 3",
    ),
    "a pool below": (
        lambda: absorb_below(network().bottom("pool"), torch.eye(6), torch.zeros(6)),
        "the bottom ends with .*: expected a convolution or a linear layer",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", REFUSED)
def test_what_stands_in_the_way_is_named(case):
    call, words = REFUSED[case]
    if words is None:  # a linear layer at the end takes it in
        assert call()[1] == "head"
        return
    with pytest.raises(FoldError, match=words):
        call()


def test_without_a_bias_padding_does_not_matter():
    net = network(padding=1)
    y, weight = torch.randn(2, 5, 6, 6).double(), torch.randn(4, 5).double()
    with torch.no_grad():
        folded, _ = absorb_above(net.top("norm"), weight, torch.zeros(4).double(), "map")
        assert torch.allclose(folded(y), net.top("norm")(affine(y, weight, torch.zeros(4).double())), atol=1e-12)
