"""Whether one graph stands for batches of every size.

A branch on the batch size is traced on the example's side alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...errors import TraceError
from .purity import LOW, Eager
from .rebind import telling
from .trace import Trace

LARGEST = 4096  # samples: a branch beyond concerns nothing that is computed here, and would take long to try


def check_any_batch(trace: Trace, traced: nn.Module, eager: Eager, example: Any, name: str) -> None:
    """Refuse a network that computes something else in batches of other sizes than its graph was made for.

    A branch that changes no number (a large batch that goes through in pieces) is allowed: the module and the graph are
    tried on the nearest size beyond. A module that refuses such a batch itself is left to do so.

    Raises:
        TraceError: with the size at which it branches.
    """
    low, high = trace.sizes
    beyond = [(low - 1, f"fewer than {low}")] if low > 2 else []
    beyond += [(high + 1, f"more than {high}")] if high is not None and high < LARGEST else []
    for n, words in beyond:
        if not _alike(traced, eager, batch_of(trace, telling(example), n)):
            raise TraceError(
                f"The network {name!r} computes something else in batches of {words} samples than in others: "
                f"expected one function "
                "for any batch size; take the branch on the batch size (an `if` on x.shape[0]) out of forward()."
            )


def check_each_alone(trace: Trace, traced: nn.Module, eager: Eager, example: Any, name: str) -> None:
    """Refuse a network whose output for a sample depends on the other samples of the batch.

    Two batches of one size are run that differ in all samples but the first.

    Raises:
        TraceError: with the layer that computes over the batch, where it is one of torch's.
    """
    at = trace.form.data_position
    inputs = batch_of(trace, telling(example), 2)
    others = [leaf.clone() for leaf in inputs]
    rest = others[at][1:].flip(-1)
    others[at][1:] = -rest if rest.is_floating_point() else rest
    try:
        with torch.no_grad():
            one, two = (traced(*args, **kwargs) for args, kwargs in map(trace.form.rebuild, (inputs, others)))
    except Exception:  # a module that refuses such a batch says so where it is called
        return
    if one.shape != two.shape or len(one) != len(inputs[at]) or _near(one[0], two[0]):
        return
    norms = [key for key, part in eager.module.named_modules() if getattr(part, "track_running_stats", None) is False]
    cause = f" (its part {norms[0]!r} has track_running_stats=False: the batch's own statistics)" if norms else ""
    raise TraceError(
        f"The network {name!r} mixes the samples of a batch{cause}: what it gives for one depends on the others, "
        "expected each sample by itself, in any company; take what is computed over the batch's axis out of "
        "forward(), such as means, sorting or shifts along axis 0, and norms without running statistics."
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
    """Whether both give the same up to the rounding of another order of sums.

    Also where the module refuses the inputs.
    """
    try:
        wanted = eager.again()(inputs, LOW)
    except Exception:  # whatever its forward raises
        return True
    args, kwargs = eager.form.rebuild(inputs)
    with torch.no_grad():
        found = traced(*args, **kwargs)
    return _near(found, wanted)


def _near(found: Tensor, wanted: Tensor) -> bool:
    if found.shape != wanted.shape:
        return False
    if not wanted.is_floating_point():
        return torch.equal(found, wanted)
    finite = wanted[wanted.isfinite()].abs()
    near = torch.finfo(wanted.dtype).eps ** 0.5 * (float(finite.max()) if finite.numel() else 0.0)
    return torch.allclose(found, wanted, rtol=0, atol=near, equal_nan=True)
