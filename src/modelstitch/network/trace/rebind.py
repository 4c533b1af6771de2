"""A trace read with another module's weights.

Tracing takes seconds, and networks of one architecture share their graph.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from .inputs import InputForm
from .kept import owners_kept
from .purity import LOW, Eager
from .trace import Trace, Weight


def rebound(trace: Trace, module: nn.Module) -> Trace | None:
    """The same graph over the tensors of ``module``; None where a name, a shape or a type differs.

    The graph itself may still be another one (a stride, an activation): see ``agrees``.
    """
    found: dict[str, Tensor] = {
        **dict(module.named_buffers(remove_duplicate=False)),
        **dict(module.named_parameters(remove_duplicate=False)),
    }
    weights: dict[Any, Weight] = {}
    for node, weight in trace.weights.items():
        if weight.kind == "constant":
            weights[node] = weight
            continue
        tensor = found.get(weight.name)
        old = weight.tensor
        if tensor is None or (tensor.shape, tensor.dtype, tensor.device) != (old.shape, old.dtype, old.device):
            return None
        weights[node] = replace(weight, tensor=tensor)
    return replace(trace, weights=weights)


def agrees(
    traced: nn.Module, module: nn.Module, form: InputForm, inputs: Any, output: str | int | None, name: str
) -> bool:
    """Whether a traced network gives what the module itself gives, bit for bit."""
    leaves = form.flatten((inputs,), {})
    with owners_kept(module) as reach:
        wanted = Eager(module, form, output, name, reach.tensors)(leaves, LOW)
    args, kwargs = form.rebuild([leaf.clone() for leaf in leaves])
    with torch.no_grad():
        return torch.equal(wanted, traced(*args, **kwargs))


def telling(example: Any) -> Any:
    """The example with random numbers in place of zeros: without biases a network makes zeros of zeros."""
    generator = torch.Generator().manual_seed(0)

    def drawn(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point() or tensor.device.type == "meta" or bool(tensor.any()):
            return tensor
        return torch.rand(tensor.shape, generator=generator).to(tensor)

    return pytree.tree_map_only(Tensor, drawn, example)
