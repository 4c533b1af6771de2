"""Parts of a network that only run, each built once: a small network is cut in as much time as it computes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar, cast

from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

P = TypeVar("P", bound=nn.Module)
ROOM = 8192  # graph nodes of all parts that a network keeps, about 2 kB each


class Ready:
    """The parts of one network, kept while its weights lie in the memory where they lay then."""

    def __init__(self) -> None:
        self._lie: list[int] = []
        self._kept: dict[Hashable, Any] = {}

    def get(self, key: Hashable, weights: Iterable[Tensor], make: Callable[[], P]) -> P:
        """The part of that name; where the room is full the part that was made first goes."""
        if _get_current_dispatch_mode() is not None:  # of fake tensors, for one: what is made there ends there
            return make()
        lie = [weight.data_ptr() for weight in weights]
        if lie != self._lie:
            self._lie, self._kept = lie, {}
        if key not in self._kept:
            part = make()
            if not _reads(part, set(lie)):
                return part
            self._kept[key] = part
            while sum(len(kept.body.graph.nodes) for kept in self._kept.values()) > ROOM:
                del self._kept[next(iter(self._kept))]
            return part
        return cast(P, self._kept[key])


def _reads(part: nn.Module, lie: set[int]) -> bool:
    """Whether a part reads the network's own memory: it holds no copy on another device."""
    try:
        return {tensor.data_ptr() for tensor in itertools.chain(part.parameters(), part.buffers())} <= lie
    except RuntimeError:  # a tensor of a transform of torch.func, which ends with it
        return False
