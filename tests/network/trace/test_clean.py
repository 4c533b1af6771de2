"""Graphs fit for cutting: nothing in place, the same numbers, nothing random."""

import pytest
import torch
from torch import nn

from modelstitch import Network
from modelstitch.errors import TraceError
from modelstitch.network.trace.clean import functional, is_random

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


@pytest.mark.slow
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
    with pytest.raises(TraceError, match=r"eval mode \(aten.rand_like.default, .*py:\d+ `return x . torch.rand_like"):
        Network(Noisy().eval(), torch.randn(2, 3), "net")


def module_of(function):
    class Made(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.linear = nn.Linear(3, 3)
            self.norm = nn.BatchNorm1d(3)
            self.register_buffer("table", torch.arange(3.0))

        def forward(self, x):
            return function(self, x)

    return Made().eval()


def overwritten_view(self, x):
    y = self.linear(x)
    view = y[:, :1]
    y.relu_()
    return view + y


def written_input(self, x):
    x = x.clone()
    x.add_(1)
    return self.linear(x)


CASES = {
    "relu": (lambda self, x: self.linear(x).relu_(), True),
    "several": (lambda self, x: self.linear(x).mul_(2).add_(1).clamp_(0, 1), True),
    "an activation": (lambda self, x: nn.functional.relu(self.linear(x), inplace=True), True),
    "masked": (lambda self, x: self.linear(x).masked_fill_(x > 0, 5.0), True),
    "a copy": (written_input, True),
    "norm and dropout": (lambda self, x: nn.functional.dropout(self.norm(x), 0.5, self.training), True),
    "a view that is read later": (overwritten_view, False),
    "the type is promoted": (lambda self, x: self.linear(x).mul_(self.table.double()[0]), False),
    "of another's shape": (lambda self, x: self.table.expand_as(x) + self.linear(x), False),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_it_computes_the_same_and_writes_nothing(case):
    function, rewritten = CASES[case]
    module, x = module_of(function), torch.randn(4, 3)
    program = torch.export.export(module, (x,), strict=False)
    found = functional(program)
    assert (found is program) is rewritten
    for node in found.graph_module.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        assert schema is None or not schema.is_mutable, node
    found.graph_module.graph.lint()
    found.graph_module.recompile()
    assert torch.equal(found.module()(x.clone()) if not rewritten else run(found, module, x), module(x.clone()))


def run(program, module, x):
    """The graph itself, whose program may have been changed in place."""
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    names = {**program.graph_signature.inputs_to_parameters, **program.graph_signature.inputs_to_buffers}
    inputs = [state[names[n.name]] if n.name in names else constant(program, n) for n in placeholders(program, x)[:-1]]
    return torch.fx.Interpreter(program.graph_module).run(*inputs, x.clone())[0]


def placeholders(program, x):
    return [node for node in program.graph_module.graph.nodes if node.op == "placeholder"]


def constant(program, node):
    return program.constants[program.graph_signature.inputs_to_lifted_tensor_constants[node.name]]


def test_norms_can_exchange_their_statistics():
    module = module_of(lambda self, x: self.norm(x))
    program = functional(torch.export.export(module, (torch.randn(4, 3),), strict=False))
    names = [str(node.target) for node in program.graph_module.graph.nodes]
    assert "aten._native_batch_norm_legit_no_training.default" in names
