"""Every listed cut of every case is exact: bit for bit, by search on the graph, and by perturbing the input."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from modelstitch.errors import InexactCutError, NetworkError
from modelstitch.network import Network
from network.cases import CASES, Case

OTHER_BATCH = 4
QUICK = {
    "residual",
    "dense",
    "raw input late",
    "in place",
    "class token",
    "side mask",
    "dict output",
    "tied",
    "constants",
}


@cache
def traced(name: str) -> tuple[Network, Case]:
    case = CASES[name]
    torch.manual_seed(0)
    # Frozen: PyTorch takes other kernels, with other rounding, for weights that want gradients (GRU, linear on a view).
    module = case.build().eval().requires_grad_(False)
    net = Network(module, case.inputs(case.example), name=name, data=case.data, output=case.output)
    return net, case


def call(module: nn.Module, inputs: Any) -> Any:
    """Call as users do, on copies: some modules write their inputs."""
    inputs = copy.deepcopy(inputs)
    if isinstance(inputs, dict):
        return module(**inputs)
    return module(*inputs) if isinstance(inputs, tuple) else module(inputs)


@torch.no_grad()
def eager(net: Network, case: Case, inputs: Any) -> Tensor:
    """What the module itself says."""
    torch.backends.mha.set_fastpath_enabled(False)  # a fused kernel for inference only, with other rounding
    try:
        return case.pick(call(net.module, inputs))
    finally:
        torch.backends.mha.set_fastpath_enabled(True)


def same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)


@pytest.fixture(params=[name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES])
def problem(request: pytest.FixtureRequest) -> tuple[Network, Case, Any]:
    net, case = traced(request.param)
    torch.manual_seed(1)
    return net, case, case.inputs(OTHER_BATCH)


@pytest.mark.slow
def test_lists_the_cuts(problem: tuple[Network, Case, Any]) -> None:
    net, case, _ = problem
    found = {name: net.layer(name) for name in (*case.cuts, *case.refused)}
    assert {name: found[name].why for name in case.cuts} == dict.fromkeys(case.cuts, "")
    for name, reason in case.refused.items():
        assert not found[name].exact
        assert reason in found[name].why
        with pytest.raises(InexactCutError, match="is not an exact cut"):
            net.top(name)


@pytest.mark.slow
@torch.no_grad()
def test_top_of_bottom_is_the_network(problem: tuple[Network, Case, Any]) -> None:
    net, case, inputs = problem
    expected = net(inputs)
    assert same(expected, eager(net, case, inputs))
    for cut in net.cuts:
        bottom, top = net.bottom(cut), net.top(cut)
        activation = bottom(inputs)
        assert same(top(activation, inputs), expected), cut
        assert same(net.taps([cut])(inputs)[cut], activation), cut
        if not top.needs_input:
            assert same(top(activation), expected), cut


@torch.no_grad()
def test_segments_join(problem: tuple[Network, Case, Any]) -> None:
    net, _, inputs = problem
    values = net.taps(net.cuts, output=True)(inputs)
    for first, second in zip(net.cuts, net.cuts[1:]):
        assert same(net.segment(first, second)(values[first], inputs), values[second]), (first, second)


def test_search_on_the_graph_agrees(problem: tuple[Network, Case, Any]) -> None:
    net, _, _ = problem
    trace = net._trace
    parameters = {node for node, weight in trace.weights.items() if weight.kind == "parameter"}
    for layer in net.layers.values():
        if "complex" in layer.why:  # it separates, and is no cut all the same
            continue
        node = net._nodes[layer.name]
        assert layer.exact == separates(node, trace.graph, trace.data, trace.output, parameters), layer.name


def separates(cut: fx.Node, graph: fx.Graph, data: fx.Node, output: fx.Node, parameters: set[fx.Node]) -> bool:
    """The definition, searched path by path: slow and obvious."""

    def hidden(node: fx.Node) -> bool:  # a size of the batch, not a value
        value = node.meta.get("val")
        return "sym_size" in str(node.target) and not str(getattr(value, "node", "")).startswith("u")

    def reachable(start: fx.Node, without: fx.Node | None) -> set[fx.Node]:
        seen, stack = set(), [start]
        while stack:
            node = stack.pop()
            if node in seen or node is without or hidden(node):
                continue
            seen.add(node)
            stack.extend(node.users)
        return seen

    of_data = reachable(data, None)
    learnt = {data} if data.meta["val"].is_floating_point() else set()
    pure = set(parameters)  # computed from parameters alone
    for node in graph.nodes:
        if node.op == "placeholder":
            continue
        sources = node.all_input_nodes
        if node not in of_data:
            if any(s in pure for s in sources):
                pure.add(node)
        elif not hidden(node) and any(s in learnt or s in pure for s in sources):
            learnt.add(node)
    if cut is data or cut not in learnt:
        return False
    around = reachable(data, cut)
    carried = learnt & around if data in learnt else set()
    if data not in learnt:  # learnt values that do not need the cut
        starts = [n for n in learnt if n is not cut and any(s in pure for s in n.all_input_nodes)]
        starts = [n for n in starts if any(s in of_data - learnt for s in n.all_input_nodes)]
        for start in starts:
            carried |= reachable(start, cut) & learnt
    return output in reachable(cut, None) and output not in carried


@torch.no_grad()
def test_perturbed_input_does_not_pass(problem: tuple[Network, Case, Any]) -> None:
    net, _, inputs = problem
    data = net._trace.form.data
    leaves, spec = pytree.tree_flatten(inputs)
    at = list(net._trace.form.paths).index(net._trace.form.paths[data])
    if not leaves[at].is_floating_point():
        leaves[at] = torch.where(leaves[at] == 0, 0, 11 - leaves[at])  # other ids, the same padding
    else:
        leaves[at] = leaves[at] * -3 + 1
    other = pytree.tree_unflatten(leaves, spec)
    for cut in net.cuts:
        top = net.top(cut)
        activation = net.bottom(cut)(inputs)
        assert same(top(activation, inputs), top(activation, other)), cut


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_any_batch_size(name: str, batch: int) -> None:
    net, case = traced(name)
    inputs = case.inputs(batch)
    expected = eager(net, case, inputs)
    assert same(net(inputs), expected)
    for cut in net.cuts:
        assert same(net.top(cut)(net.bottom(cut)(inputs), inputs), expected), cut


class Averaged(nn.Module):
    """A sum over positions, by their number: a number of the graph, which another length does not change."""

    def __init__(self, image: bool, right: bool) -> None:
        super().__init__()
        self.below = nn.Conv2d(1, 4, 1) if image else nn.Embedding(5, 4)
        self.image, self.right = image, right

    def forward(self, x: Tensor) -> Tensor:
        h = self.below(x)
        axes = (2, 3) if self.image else (1,)
        return h.mean(axes) if self.right else h.sum(axes) / x[0].numel()


@pytest.mark.parametrize("image", [True, False])
@pytest.mark.parametrize("wrapped", [True, False])
def test_samples_of_another_size_are_held_against_the_module_before_they_are_believed(
    image: bool, wrapped: bool
) -> None:
    def samples(size: int) -> Any:
        made = torch.rand(3, 1, size, size) if image else torch.arange(3 * size).reshape(3, size) % 5
        return {"x": made} if wrapped else made

    right, wrong = (Network(Averaged(image, good).eval(), samples(6), "net") for good in (True, False))
    other = samples(4)
    for part in (right.bottom("below"), right.taps(["below"]), right.full()):
        with pytest.raises(NetworkError, match=r"nobody has tried .*: try it with check_sample\(inputs\) of the whole"):
            part(other)
    module = right.module(**other) if wrapped else right.module(other)
    assert torch.equal(right(other), module)  # tried here
    assert torch.equal(right.full()(other), module)  # so that it is known from now on
    for ask in (wrong, wrong.check_sample):
        with pytest.raises(NetworkError, match=r"something else than its module on those of .*4,?\)"):
            ask(other)
    with pytest.raises(NetworkError, match="nobody has tried"):
        wrong.full()(other)
