"""Results written over their arguments.

The same numbers to the last bit, and nothing overwritten that is read again.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from modelstitch.network import OUTPUT, Network
from modelstitch.network.passes.in_place import write_in_place
from network.cases import CASES
from network.test_segment import call, traced


class Plain(nn.Module):
    def __init__(self, rule) -> None:
        super().__init__()
        self.conv, self.norm, self.rule = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), rule

    def forward(self, x):
        return self.rule(self, x).mean((2, 3))


def residual(m, x):
    y = m.conv(x).relu()
    return y + m.norm(y).relu()


def turned_first(m, x):
    return m.conv(x).transpose(2, 3) + m.conv(x)  # only the second may be overwritten, and it lies otherwise


def turned_second(m, x):
    return m.conv(x)[:, :] + m.conv(x).transpose(2, 3).relu()


# How a graph is written, and how many of its results may replace an argument.
EACH = (1, 2, 3)  # over all of a sample, none of the others
RULES = {
    "a chain": (lambda m, x: m.norm(m.conv(x)).relu(), 1),
    "read again by a sum": (residual, 3),  # both rectifiers, and the sum over the second; never over the first
    "read again much later": (lambda m, x: (y := m.conv(x)).tanh().sigmoid() * y, 2),
    "the input itself": (lambda m, x: x.relu()[:, :1] + m.conv(x), 1),
    "with itself": (lambda m, x: (y := m.conv(x)) + y, 0),
    "through a view": (lambda m, x: m.conv(x).transpose(2, 3).relu(), 0),
    "a smaller one": (lambda m, x: m.norm(m.conv(x)).mean((2, 3), keepdim=True).relu() + m.conv(x), 1),
    "another type": (lambda m, x: m.conv(x).half() * m.conv(x), 1),
    "twice the second": (lambda m, x: torch.add(x[:, :1], m.conv(x), alpha=2), 0),
    "read by strides": (lambda m, x: (y := turned_first(m, x)).as_strided(y.shape, y.stride()), 0),
    "read as complex": (
        lambda m, x: torch.view_as_real(torch.view_as_complex(turned_second(m, x).unflatten(3, (3, 2)))).flatten(3),
        0,
    ),
    "read before, by what shows nothing of it": (
        lambda m, x: (m.norm(y := m.conv(x)).sum(EACH, keepdim=True) + y).relu(),
        2,
    ),
    "read before, by what shows it": (
        lambda m, x: (v := (y := m.conv(x))[:, :2]).mean(EACH, keepdim=True) + y.relu() + v.mean(EACH, keepdim=True),
        2,
    ),  # the sums
    "read as another type": (lambda m, x: turned_second(m, x).view(torch.int16).float(), 0),
}


@pytest.mark.parametrize("name", RULES)
def test_only_what_nobody_reads_again_is_overwritten(name):
    rule, expected = RULES[name]
    torch.manual_seed(0)
    module = Plain(rule).eval()
    x = torch.randn(4, 3, 6, 6)
    part = Network(module, x[:2]).taps([], output=True)
    with torch.no_grad():
        before = part(x)[OUTPUT]
        assert write_in_place(part.body.graph) == expected
        part.body.recompile()
        given = x.clone()
        assert torch.equal(part(x)[OUTPUT], before)
        assert torch.equal(x, given)


class Sided(nn.Module):
    def __init__(self, rule) -> None:
        super().__init__()
        self.data, self.side, self.rule = nn.Linear(6, 8), nn.Linear(2, 8), rule

    def forward(self, x, t):
        return self.rule(self.side(t), self.data(x))


@pytest.mark.parametrize("rule", [torch.add, torch.mul])
def test_a_side_input_of_one_row_is_repeated(rule):
    x, t = torch.randn(4, 6), torch.randn(4, 2)
    module = Sided(rule).eval()
    part = Network(module, (x, t)).taps([], output=True)
    assert write_in_place(part.body.graph) == 1
    part.body.recompile()
    with torch.no_grad():
        for rows in (1, 4):
            assert torch.equal(part(x, t[:rows])[OUTPUT], module(x, t[:rows]))
            assert torch.equal(part(x[:1], t[:rows])[OUTPUT], module(x[:1], t[:rows]))


@pytest.mark.parametrize("rule", [torch.add, torch.mul])
def test_a_callers_autocast_rounds_no_more_than_the_donor_does(rule):
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(6, 6)

        def forward(self, x):
            return rule(x, self.linear(x))

    x, module = torch.randn(4, 6), Residual().eval()
    part = Network(module, x).taps([], output=True)
    assert write_in_place(part.body.graph) == 1
    part.body.recompile()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found, expected = part(x)[OUTPUT], module(x)
    assert found.dtype == expected.dtype == torch.float32
    assert torch.equal(found, expected)


@pytest.mark.parametrize("name", CASES)
def test_every_layer_of_every_kind_of_network_stays_the_same(name):
    net, case = traced(name)
    inputs = case.inputs(4)
    layers = list(net.layers)
    for chosen in ([], layers[::2], layers[1::2], layers[-1:]):  # more is overwritten where less is tapped
        part = net.taps(chosen, output=True)
        state = {k: v.clone() for k, v in part.body.state_dict().items()}
        with torch.no_grad():
            before = {k: v.clone() for k, v in call(part, inputs).items()}
            write_in_place(part.body.graph)
            part.body.recompile()
            again = copy.deepcopy(inputs)
            for _ in range(2):
                found = (
                    part(**again)
                    if isinstance(again, dict)
                    else part(*again)
                    if isinstance(again, tuple)
                    else part(again)
                )
                assert all(torch.equal(found[k], before[k]) for k in before)
        assert all(torch.equal(v, state[k]) for k, v in part.body.state_dict().items())
