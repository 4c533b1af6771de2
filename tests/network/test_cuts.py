"""Separators against a search on random graphs, and against the same network written in another order."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, fx

from modelstitch.network import Network
from modelstitch.network.cuts import find_flow
from network.cases import ids, vectors
from network.shapes import RawInput, TwoEmbeddings


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[list[int]], list[bool], bool]:
    """Sources of each node (0 is the data input), whether it reads a parameter, and whether the data are floating."""
    count = draw(st.integers(2, 12))
    sources = [draw(st.lists(st.integers(0, i), min_size=1, max_size=3, unique=True)) for i in range(count)]
    weighted = [draw(st.booleans()) for _ in range(count)]
    return sources, weighted, draw(st.booleans())


def build(problem: tuple[list[list[int]], list[bool], bool]) -> tuple[fx.Graph, list[fx.Node], fx.Node]:
    sources, weighted, floating = problem
    graph = fx.Graph()
    parameter = graph.placeholder("w")
    parameter.meta["val"] = torch.zeros(2)
    nodes = [graph.placeholder("x")]
    nodes[0].meta["val"] = torch.zeros(2, dtype=torch.float32 if floating else torch.int64)
    for inputs, reads in zip(sources, weighted, strict=True):
        arguments = [nodes[i] for i in inputs] + [parameter] * reads
        nodes.append(graph.call_function(torch.ops.aten.cat.default, (arguments,)))
        nodes[-1].meta["val"] = torch.zeros(2)
    return graph, nodes, parameter


def learnt_path(problem: tuple[list[list[int]], list[bool], bool], without: int) -> bool:
    """Whether a learnt value of the sample reaches the last node although node ``without`` is given."""
    sources, weighted, floating = problem
    plain, learnt, given = {0}, set(), {without}
    if floating:
        plain, learnt = set(), {0}
    for i, (inputs, reads) in enumerate(zip(sources, weighted, strict=True), start=1):
        if i == without:
            continue  # its value is given: nothing flows into it
        if any(j in learnt for j in inputs) or (reads and any(j in plain for j in inputs)):
            learnt.add(i)
        elif any(j in given for j in inputs):
            given.add(i)  # a mask joined to the given value is allowed
        elif any(j in plain for j in inputs):
            plain.add(i)
    return len(sources) in learnt


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(graphs())
def test_random_graphs(problem: tuple[list[list[int]], list[bool], bool]) -> None:
    graph, nodes, parameter = build(problem)
    flow = find_flow(graph, nodes[0], nodes[-1], {parameter})
    for i, node in enumerate(nodes[1:], start=1):
        if node in flow.order:
            given_last = i == len(nodes) - 1
            expected = given_last or not learnt_path(problem, without=i)
            assert flow.exact(node) == expected, i
            assert bool(flow.around(node)) == (not expected)
        else:
            assert not flow.exact(node)


def exact(net: Network) -> set[str]:
    return {name for name, layer in net.layers.items() if layer.exact}


def test_the_place_of_a_line_does_not_matter() -> None:
    assert exact(Network(RawInput(True), vectors(2))) == exact(Network(RawInput(False), vectors(2)))
    assert exact(Network(TwoEmbeddings(True), ids(2))) == exact(Network(TwoEmbeddings(False), ids(2)))


class Random(torch.nn.Module):
    """A network whose layer i adds up what its sources say."""

    def __init__(self, sources: list[list[int]]) -> None:
        super().__init__()
        self.sources = sources
        self.fc = torch.nn.ModuleList(torch.nn.Linear(3, 3) for _ in sources)

    def forward(self, x: Tensor) -> Tensor:
        values = [x]
        for inputs, layer in zip(self.sources, self.fc, strict=True):
            values.append(layer(torch.stack([values[i] for i in inputs]).sum(0)))
        return values[-1]


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(graphs())
def test_random_networks(problem: tuple[list[list[int]], list[bool], bool]) -> None:
    sources = problem[0]
    if not reaches(sources):
        return
    net = Network(Random(sources), torch.randn(2, 3))
    x = torch.randn(4, 3)
    full = net(x)
    for i in range(len(sources)):
        layer = net.layers[f"fc.{i}"]
        every = (sources, [True] * len(sources), True)
        used = layer.why != "it does not reach the chosen output"
        assert layer.exact == (used and (i == len(sources) - 1 or not learnt_path(every, without=i + 1)))
        if layer.exact:
            assert torch.equal(net.top(layer.name)(net.bottom(layer.name)(x)), full)


def reaches(sources: list[list[int]]) -> bool:
    """Whether the last layer hears of the data at all."""
    hears = {0}
    for i, inputs in enumerate(sources, start=1):
        if hears & set(inputs):
            hears.add(i)
    return len(sources) in hears
