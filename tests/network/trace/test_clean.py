"""An exported graph made fit for cutting."""

import pytest
import torch
from torch import nn

from modelstitch import Network
from modelstitch.errors import TraceError
from modelstitch.network.trace.clean import is_random

aten = torch.ops.aten
X = torch.zeros(2)


@pytest.mark.parametrize(
    ("operation", "args", "kwargs", "random"),
    [
        (aten.relu.default, (X,), {}, False),
        (aten.rand.default, ([2],), {}, True),
        (aten.bernoulli.default, (X,), {}, True),
        (aten.dropout.default, (X, 0.5, True), {}, True),
        (aten.dropout.default, (X, 0.5, False), {}, False),
        (aten.native_dropout.default, (X, 0.5, False), {}, False),
        (aten.scaled_dot_product_attention.default, (X, X, X), {}, False),
        (aten.scaled_dot_product_attention.default, (X, X, X, None, 0.1), {}, True),
        (aten.scaled_dot_product_attention.default, (X, X, X), {"dropout_p": 0.1}, True),
        (len, (X,), {}, False),
    ],
)
def test_operations_that_draw_numbers(operation, args, kwargs, random):
    assert is_random(operation, args, kwargs) is random


class Filled(nn.Module):
    """Values that need a shape alone hold on to no tensor."""

    def __init__(self, fill):
        super().__init__()
        self.first, self.second, self.fill = nn.Linear(3, 3), nn.Linear(3, 3), fill

    def forward(self, x):
        early = torch.relu(x)
        return self.second(self.first(early)) + self.fill(early)


FILLS = {
    "zeros_like": torch.zeros_like,
    "ones_like": torch.ones_like,
    "full_like": lambda x: torch.full_like(x, 2.5),
    "new_full": lambda x: x.new_full(x.shape, 2.5),
    "new_zeros": lambda x: x.new_zeros(x.shape[0], 3),
    "of the batch": lambda x: x.new_ones(2 * x.shape[0] + 1, 3)[: x.shape[0]],
}


@pytest.mark.parametrize("name", FILLS)
def test_what_looks_at_a_shape_alone_goes_round_no_cut(name):
    module = Filled(FILLS[name]).eval()
    network = Network(module, torch.randn(2, 3), "net")
    assert "first" in network.cuts
    x = torch.randn(5, 3)
    with torch.no_grad():
        assert torch.equal(network.top("first")(network.bottom("first")(x)), module(x))


class Squeezed(nn.Module):
    def forward(self, x):
        return torch.relu(x).unsqueeze(-1).squeeze()


def test_a_batch_that_happens_to_be_one_is_never_squeezed():
    network = Network(Squeezed().eval(), torch.randn(2, 3), "net")
    assert network.full()(torch.randn(1, 3)).shape == (1, 3)


class Noisy(nn.Module):
    def forward(self, x):
        return x + torch.rand_like(x)


def test_random_numbers_are_refused_with_their_line():
    with pytest.raises(TraceError, match=r"draws random numbers in eval mode.*rand_like"):
        Network(Noisy().eval(), torch.randn(2, 3), "net")
