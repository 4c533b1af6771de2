"""Which values separate the data input from the chosen output: the graph side of an exact cut.

A node *carries the sample* when it is a floating-point data input, or is computed from the data input together with a
parameter, or from such a node. Shapes do not carry it, unless they depend on values; nor do masks and other values
made of an integer data input without any parameter: those are recomputed in the top, and may be joined to a value that
carries the sample. The nodes that carry the sample and reach the output form a directed acyclic graph with one source
(the sample) and one sink (the output). In any topological order a node lies on every path from source to sink if and
only if no edge jumps over it; so the separators do not depend on the order.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor, fx
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols

_SHAPE_ONLY = {torch.ops.aten.sym_size.int, torch.ops.aten.sym_stride.int, torch.ops.aten.sym_numel.default}


class Flow:
    """The nodes that carry the sample to the output, in topological order, and the edges that jump over each.

    Attributes:
        order: position of each carrying node.
        carries: every node that carries the sample, also those that do not reach the output.
        depends: every node computed from the data input, shapes apart.
    """

    def __init__(
        self, order: dict[fx.Node, int], edges: list[Edge], carries: set[fx.Node], depends: set[fx.Node]
    ) -> None:
        self.order, self.carries, self.depends = order, carries, depends
        longest: dict[int, Edge] = {}
        for edge in edges:  # of the edges that leave one value only the longest matters
            if edge.start not in longest or edge.end > longest[edge.start].end:
                longest[edge.start] = edge
        self._edges = [longest[start] for start in sorted(longest)]
        steps = [0] * (len(order) + 1)
        for edge in self._edges:
            steps[edge.start + 1] += 1
            steps[edge.end] -= 1
        self._jumps = list(accumulate(steps))

    def exact(self, node: fx.Node) -> bool:
        """Whether every path from the sample to the output passes through ``node``."""
        return node in self.order and not self._jumps[self.order[node]]

    def around(self, node: fx.Node) -> list[fx.Node | None]:
        """The values that reach the output around ``node``, earliest first; None stands for the sample itself."""
        if node not in self.order:
            return []
        at = self.order[node]
        last = bisect_left(self._edges, at, key=lambda edge: edge.start)
        return [edge.source for edge in self._edges[:last] if edge.end > at]


@dataclass(frozen=True, slots=True)
class Edge:
    """A value at position ``start`` (-1: the sample) is read at position ``end``."""

    start: int
    end: int
    source: fx.Node | None


def find_flow(graph: fx.Graph, data: fx.Node, output: fx.Node, parameters: set[fx.Node]) -> Flow:
    """Label every node, then find for each carrying node the edges that jump over it."""
    carries, depends, entries = _label(graph, data, parameters)
    reaching = ancestors(output)
    order = {node: i for i, node in enumerate(n for n in graph.nodes if n in carries and n in reaching)}
    edges = [Edge(-1, order[n], None) for n in entries if n in order]
    for node, at in order.items():
        edges.extend(Edge(order[source], at, source) for source in node.all_input_nodes if source in order)
    return Flow(order, edges, carries, depends)


def _label(
    graph: fx.Graph, data: fx.Node, parameters: set[fx.Node]
) -> tuple[set[fx.Node], set[fx.Node], list[fx.Node]]:
    """The nodes that carry the sample, those that depend on the data input, and where the sample meets parameters."""
    # "plain" is what is made of an integer data input without a parameter
    kinds = dict.fromkeys(parameters, "weight") | {data: "carries" if is_floating(data) else "plain"}
    entries = [data] if is_floating(data) else []
    for node in graph.nodes:
        if node.op == "placeholder" or is_shape(node):
            continue
        read = {kinds[source] for source in node.all_input_nodes if source in kinds}
        if {"plain", "weight"} <= read:
            entries.append(node)
            read = {"carries"}
        if read:
            kinds[node] = next(kind for kind in ("carries", "plain", "weight") if kind in read)
    carries, plain = ({node for node, kind in kinds.items() if kind == wanted} for wanted in ("carries", "plain"))
    return carries, carries | plain, entries


def ancestors(output: fx.Node) -> set[fx.Node]:
    """All nodes that ``output`` is computed from, itself included."""
    seen: set[fx.Node] = set()
    stack = [output]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack.extend(node.all_input_nodes)
    return seen


def is_shape(node: fx.Node) -> bool:
    """Whether a node is a size that does not depend on the values in a tensor."""
    return node.target in _SHAPE_ONLY and not free_unbacked_symbols(node.meta.get("val"))


def is_floating(node: fx.Node) -> bool:
    """Whether a node holds a floating-point or complex tensor."""
    value = node.meta.get("val")
    return isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex())
