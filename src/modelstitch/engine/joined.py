"""The parts of a stitched model, joined: top(stitcher(bottom(x)))."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..network import FromInput, FromLayer
from ..stitchers import Adapter, mapped


class Joined(nn.Module):
    """The bottom of one network, a map, and the top of another."""

    bottom: FromInput
    adapter: Adapter
    stitcher: nn.Module
    top: FromLayer

    def joined(self, bottom: FromInput, adapter: Adapter, stitcher: nn.Module, top: FromLayer) -> Joined:
        """Take the parts, and give the model itself.

        Args:
            bottom: gives the activation.
            adapter: the step without parameters before the map.
            stitcher: the map.
            top: takes the activation.
        """
        self.bottom, self.adapter, self.stitcher, self.top = bottom, adapter, stitcher, top
        return self

    def through(self, x: Any, x_top: Any, mask: Tensor | None) -> Tensor:
        """Do as ``forward``, both inputs and the mask given.

        Args:
            x: the bottom's input.
            x_top: the top's input.
            mask: bool (n, positions), where a padded sequence holds something; None without padding.

        Returns:
            The top's output, (n, ...).
        """
        return self.onward(self.at_seam(x, mask), x_top)

    def at_seam(self, x: Any, mask: Tensor | None) -> Tensor:
        """Give the stitched activation, as the top takes it, of the bottom's input."""
        activation = self.adapter(self.bottom(x), mask)
        above = (t.dtype for t in (*self.top.parameters(), *self.top.buffers()) if t.is_floating_point())
        return mapped(self.stitcher, activation, next(above, activation.dtype))

    def onward(self, stitched: Tensor, x_top: Any) -> Tensor:
        """Give the top's output of a stitched activation."""
        result: Tensor = self.top(stitched, x_top if self.top.needs_input else None)
        return result

    @property
    def place(self) -> torch.device:
        """Where the donors lie."""
        parts = (t for part in (self.top, self.bottom) for t in (*part.parameters(), *part.buffers()))
        return next((t.device for t in parts), torch.device("cpu"))
