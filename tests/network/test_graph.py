"""What nodes say: the new order of axes is that of the tensors themselves."""

import pytest
import torch
from torch import fx

from modelstitch.network.graph import new_order

CASES = {
    "permute": lambda x: torch.ops.aten.permute.default(x, [0, -1, 1, 2]),
    "transpose": lambda x: torch.ops.aten.transpose.int(x, 1, -1),
    "swapaxes": lambda x: torch.ops.aten.swapaxes.default(x, -2, 1),
    "matrices": lambda x: torch.ops.aten.mT.default(x),
    "one axis": lambda x: torch.ops.aten.movedim.int(x, 1, -1),
    "two axes": lambda x: torch.ops.aten.movedim.intlist(x, [1, 3], [3, 2]),
}


@pytest.mark.parametrize("name", CASES)
def test_the_order_is_that_of_the_tensors(name):
    graph = fx.symbolic_trace(CASES[name]).graph
    (node,) = (n for n in graph.nodes if n.op == "call_function")
    x = torch.zeros(2, 3, 5, 7)
    node.meta["val"] = CASES[name](x)
    assert [x.shape[axis] for axis in new_order(node)] == list(CASES[name](x).shape)


def test_another_operation_has_none():
    graph = fx.symbolic_trace(lambda x: torch.ops.aten.relu.default(x)).graph
    assert [new_order(n) for n in graph.nodes] == [None] * 3


def test_a_weight_of_an_operations_name_moves_no_axes():
    graph = fx.Graph()
    assert new_order(graph.placeholder("net.t")) is None
