"""A loss and its gradients, recorded once as a CUDA graph and replayed.

Small networks wait for their launches otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

WARM_UP = 3  # passes before the recording, in which libraries choose their kernels


def record(
    loss: Callable[..., Tensor],
    first: Sequence[Tensor],
    modules: Iterable[nn.Module],
    within: Callable[[], AbstractContextManager[Any]],
    pool: Any = None,
) -> Recorded | None:
    """A ``Recorded``; None where there is none to be had: something in it asks the GPU for values."""
    try:
        return Recorded(loss, first, modules, within, pool)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:  # a mistake of another kind shows itself again in the plain step
        return None


class Recorded:
    """``loss(*tensors)`` and the gradients of ``modules``, for tensors of the shapes of the first ones.

    A call puts the gradients in place, as ``backward`` after ``zero_grad`` does, and returns the loss, detached, in
    memory that the next call overwrites. Statistics that the modules keep move by one batch a call. Weights must be
    changed in place, as optimisers do.

    Args:
        loss: a function of tensors without choices that depend on their values.
        first: tensors on a CUDA device; they are not used up.
        modules: whose parameters get gradients, and whose buffers the recording leaves as they were.
        within: makes the context of the forward pass, such as autocast (without its cache: casts belong to the
            recording).
        pool: memory that several recordings share (``torch.cuda.graph_pool_handle()``): their calls follow one another,
            and each one's gradients are used before the next call of another.
    """

    def __init__(
        self,
        loss: Callable[..., Tensor],
        first: Sequence[Tensor],
        modules: Iterable[nn.Module],
        within: Callable[[], AbstractContextManager[Any]],
        pool: Any = None,
    ) -> None:
        modules = list(modules)
        self._given = [tensor.detach().clone() for tensor in first]
        self.shapes = [tensor.shape for tensor in first]
        parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
        buffers = [b for module in modules for b in module.buffers()]
        kept = [b.clone() for b in buffers]

        def once() -> Tensor:
            for parameter in parameters:
                parameter.grad = None
            with within():
                value = loss(*self._given)
            value.backward()  # type: ignore[no-untyped-call]
            return value.detach()

        beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream())
        try:
            with torch.cuda.stream(beside):
                for _ in range(WARM_UP):
                    once()
            torch.cuda.current_stream().wait_stream(beside)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, pool=pool):
                self._loss = once()
        finally:
            with torch.no_grad():
                for buffer, value in zip(buffers, kept):
                    buffer.copy_(value)
        self._gradients = [(p, p.grad) for p in parameters]

    def takes(self, tensors: Sequence[Tensor]) -> bool:
        """Whether the tensors have the shapes that were recorded."""
        return [tensor.shape for tensor in tensors] == self.shapes

    def __call__(self, *tensors: Tensor) -> Tensor:
        for place, tensor in zip(self._given, tensors):
            place.copy_(tensor, non_blocking=True)
        self._graph.replay()
        for parameter, gradient in self._gradients:
            parameter.grad = gradient  # where another pass has put one of its own meanwhile
        return self._loss
