"""How much memory a piece of work holds, told without doing it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def most_held(work: Callable[[], object]) -> int | None:
    """The most bytes that tensors made by ``work`` hold at a time; None where that depends on their values.

    Nothing is computed: its tensors have shapes alone. What a library takes for itself besides is not seen.
    """
    held = Footprint()
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), held:
            work()
    except (RuntimeError, NotImplementedError, AssertionError):  # an operation that asks for numbers
        return None
    return held.most


class Footprint(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While this is open the memory of each new tensor is counted, until the last one that shares it is gone.

    Attributes:
        now: bytes.
        most: the most bytes so far.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self._live: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        if not func.is_view:  # of a tensor that was there before
            given = {value.untyped_storage()._cdata for value in _tensors((args, kwargs))}
            for value in _tensors(made):
                if value.untyped_storage()._cdata not in given:
                    self._note(value.untyped_storage())
        return made

    def _note(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._live:
            return

        def gone(_: object) -> None:
            del self._live[key]
            self.now -= size

        self._live[key] = weakref.ref(storage, gone)
        self.now += size
        self.most = max(self.most, self.now)


def _tensors(values: Any) -> list[torch.Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, torch.Tensor)]
