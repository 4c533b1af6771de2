"""Which values separate the data input from the chosen output: the graph side of an exact cut.

A node *carries the sample* when it is a floating-point data input, or is computed from the data input together with a
parameter, or from such a node. Shapes do not carry it; nor do masks and other values made of an integer data input
without any parameter: those are recomputed in the top. The nodes that carry the sample and reach the output form a
directed acyclic graph with one source (the sample) and one sink (the output). In any topological order a node lies on
every path from source to sink if and only if no edge jumps over it; so the separators do not depend on the order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, fx

_SHAPE_ONLY = {torch.ops.aten.sym_size.int, torch.ops.aten.sym_stride.int, torch.ops.aten.sym_numel.default}


@dataclass
class Flow:
    """The nodes that carry the sample to the output, in topological order, and the edges between them.

    Attributes:
        order: position of each carrying node.
        bypass: for each position, the sources of the edges that jump over it (None stands for the sample itself).
        carries: every node that carries the sample, also those that do not reach the output.
        depends: every node computed from the data input, shapes apart.
    """

    order: dict[fx.Node, int]
    bypass: list[list[fx.Node | None]]
    carries: set[fx.Node] = field(default_factory=set)
    depends: set[fx.Node] = field(default_factory=set)

    def exact(self, node: fx.Node) -> bool:
        """Whether every path from the sample to the output passes through ``node``."""
        return node in self.order and not self.bypass[self.order[node]]

    def around(self, node: fx.Node) -> list[fx.Node | None]:
        """The values that reach the output around ``node``, earliest first."""
        return self.bypass[self.order[node]] if node in self.order else []


def find_flow(graph: fx.Graph, data: fx.Node, output: fx.Node, parameters: set[fx.Node]) -> Flow:
    """Label every node, then find for each carrying node the edges that jump over it."""
    carries, depends, of_parameter, entries = _label(graph, data, parameters)
    reaching = _ancestors(output)
    order = {node: i for i, node in enumerate(n for n in graph.nodes if n in carries and n in reaching)}
    edges: list[tuple[int, int, fx.Node | None]] = [(-1, order[n], None) for n in entries if n in order]
    for node, at in order.items():
        edges.extend((order[source], at, source) for source in node.all_input_nodes if source in order)
    return Flow(order, _jumps(edges, len(order)), carries, depends)


def _label(
    graph: fx.Graph, data: fx.Node, parameters: set[fx.Node]
) -> tuple[set[fx.Node], set[fx.Node], set[fx.Node], list[fx.Node]]:
    carries: set[fx.Node] = set()
    plain: set[fx.Node] = set()  # made of an integer data input without a parameter
    of_parameter = set(parameters)
    entries: list[fx.Node] = []
    for node in graph.nodes:
        if node is data:
            if is_floating(node):
                carries.add(node)
                entries.append(node)
            else:
                plain.add(node)
            continue
        if node.op == "placeholder" or is_shape(node):
            continue
        sources = node.all_input_nodes
        meets_parameter = any(s in of_parameter for s in sources)
        if any(s in plain for s in sources) and meets_parameter:
            carries.add(node)
            entries.append(node)
        elif any(s in carries for s in sources):
            carries.add(node)
        elif any(s in plain for s in sources):
            plain.add(node)
        elif meets_parameter:
            of_parameter.add(node)
    return carries, carries | plain, of_parameter, entries


def _jumps(edges: list[tuple[int, int, fx.Node | None]], count: int) -> list[list[fx.Node | None]]:
    bypass: list[list[fx.Node | None]] = [[] for _ in range(count)]
    longest: dict[int, tuple[int, fx.Node | None]] = {}
    for start, end, source in edges:  # of the edges that leave one value only the longest matters
        if start not in longest or end > longest[start][0]:
            longest[start] = (end, source)
    for start in sorted(longest):
        end, source = longest[start]
        for at in range(start + 1, end):
            bypass[at].append(source)
    return bypass


def _ancestors(output: fx.Node) -> set[fx.Node]:
    seen: set[fx.Node] = set()
    stack = [output]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack.extend(node.all_input_nodes)
    return seen


def ancestors(output: fx.Node) -> set[fx.Node]:
    """All nodes that ``output`` is computed from, itself included."""
    return _ancestors(output)


def is_shape(node: fx.Node) -> bool:
    """Whether a node is a size or computed from sizes only."""
    value = node.meta.get("val")
    return node.target in _SHAPE_ONLY or (value is not None and not isinstance(value, (Tensor, tuple, list)))


def is_floating(node: fx.Node) -> bool:
    """Whether a node holds a floating-point or complex tensor."""
    value = node.meta.get("val")
    return isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex())
