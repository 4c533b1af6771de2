"""A stitched model whose map lives in a layer beside the cut."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ..data.batch import MASK, mask_of
from ..network import FromLayer


class Folded(nn.Module):
    """A stitched model without a map: the map lives in a layer beside the cut.

    Attributes:
        into: the layers that took it in, e.g. ("bottom: stem.0",); empty for the identity.
    """

    def __init__(
        self, bottom: nn.Module, adapter: nn.Module, top: FromLayer, into: tuple[str, ...], mask: str = MASK
    ) -> None:
        super().__init__()
        self._mask = mask
        self.bottom, self.adapter, self.top, self.into = bottom, adapter, top, into
        self.eval()

    def forward(self, x: Any, x_top: Any = None) -> Tensor:
        """As ``Stitched.forward``."""
        other = x if x_top is None else x_top
        result: Tensor = self.top(
            self.adapter(self.bottom(x), mask_of(x, self._mask)), other if self.top.needs_input else None
        )
        return result
