"""A network whose numbers have another type than its samples: its view turns them into that type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree


@dataclass(frozen=True)
class Typed:
    """What another view makes of samples, with its real numbers in one type.

    Attributes:
        view: the view itself; None leaves samples as they are.
        dtype: as the network's, "bfloat16".
    """

    view: Callable[[Any], Any] | None
    dtype: str

    def __call__(self, inputs: Any) -> Any:
        """The view of a batch."""
        return _cast(inputs if self.view is None else self.view(inputs), getattr(torch, self.dtype))

    def describe(self) -> dict[str, Any]:
        """What a record states about the view."""
        inner = getattr(self.view, "describe", None)
        return {**(inner() if inner is not None else {}), "dtype": self.dtype}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "view":
            raise AttributeError(name)
        return getattr(self.view, name)


def typed(
    module: nn.Module, example: Any, view: Callable[[Any], Any] | None
) -> tuple[Any, Callable[[Any], Any] | None]:
    """The example and the view in the type of the module's numbers, where that is not the usual one."""
    kinds = {p.dtype for p in module.parameters() if p.is_floating_point()}
    real = any(t.is_floating_point() for t in pytree.tree_leaves(example) if isinstance(t, torch.Tensor))
    if len(kinds) != 1 or kinds == {torch.float32} or not real:
        return example, view
    (dtype,) = kinds
    return _cast(example, dtype), Typed(view, str(dtype).removeprefix("torch."))


def _cast(value: Any, dtype: torch.dtype) -> Any:
    return pytree.tree_map_only(torch.Tensor, lambda t: t.to(dtype) if t.is_floating_point() else t, value)
