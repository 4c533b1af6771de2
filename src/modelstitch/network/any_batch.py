"""Whether one graph stands for batches of every size: a branch on the batch size is traced on the example's side alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..errors import TraceError
from .purity import LOW, Eager
from .rebind import telling
from .trace import Trace

LARGEST = 4096  # samples: a branch beyond concerns nothing that is computed here, and would take long to try


def check_any_batch(trace: Trace, traced: nn.Module, eager: Eager, example: Any, name: str) -> None:
    """Refuse a network that computes something else in batches of other sizes than its graph was made for.

    A branch that changes no number (a large batch that goes through in pieces) is allowed: the module and the graph are tried
    on the nearest size beyond. A module that refuses such a batch itself is left to do so.

    Raises:
        TraceError: with the size at which it branches.
    """
    low, high = trace.sizes
    beyond = [(low - 1, f"fewer than {low}")] if low > 2 else []
    beyond += [(high + 1, f"more than {high}")] if high is not None and high < LARGEST else []
    for n, words in beyond:
        if not _alike(traced, eager, batch_of(trace, telling(example), n)):
            raise TraceError(
                f"The network {name!r} computes something else in batches of {words} samples than in others: expected one function "
                "for any batch size; take the branch on the batch size (an `if` on x.shape[0]) out of forward()."
            )


def batch_of(trace: Trace, example: Any, n: int) -> list[Tensor]:
    """The example's inputs with ``n`` samples, which differ from each other where the data are no integers."""
    leaves = trace.form.flatten((example,), {})
    data = leaves[trace.form.data_position]
    several = [
        leaf[torch.arange(n, device=leaf.device) % len(leaf)] if trace.batched(node) else leaf
        for leaf, node in zip(leaves, trace.inputs, strict=True)
    ]
    if data.is_floating_point():
        scale = torch.linspace(0.5, 1.5, n, device=data.device, dtype=data.dtype)
        several[trace.form.data_position] *= scale.view(-1, *[1] * (data.ndim - 1))
    return several


def _alike(traced: nn.Module, eager: Eager, inputs: list[Tensor]) -> bool:
    """Whether both give the same up to the rounding of another order of sums; also where the module refuses the inputs."""
    try:
        wanted = eager.again()(inputs, LOW)
    except Exception:  # whatever its forward raises
        return True
    args, kwargs = eager.form.rebuild(inputs)
    with torch.no_grad():
        found = traced(*args, **kwargs)
    if found.shape != wanted.shape:
        return False
    if not wanted.is_floating_point():
        return torch.equal(found, wanted)
    near = torch.finfo(wanted.dtype).eps ** 0.5 * float(wanted.abs().max())
    return torch.allclose(found, wanted, rtol=0, atol=near, equal_nan=True)
