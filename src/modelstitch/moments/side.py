"""The layers of one network side by side, less a base, so that their sums keep their digits."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate

import torch
from torch import Tensor

from ..errors import MeasureError, NonFiniteError


class Side:
    """One side of a grid of moments.

    Attributes:
        name: ``bottom`` or ``top``.
        layers: {layer: channels}.
        slices: {layer: its columns}.
        waiting: the rows taken since the last ``close``.
        base: what is taken off these rows, shape (channels,).
        left: the mean that is left of them, shape (channels,), once they are closed.
    """

    def __init__(self, name: str, layers: Mapping[str, int], dtype: torch.dtype, device: torch.device) -> None:
        ends = list(accumulate(layers.values()))
        self.name, self.layers, self.dtype, self.device = name, dict(layers), dtype, device
        self.slices = {layer: slice(end - width, end) for (layer, width), end in zip(layers.items(), ends)}
        self.waiting = 0
        self.base = self.left = self._sums = torch.zeros(ends[-1], dtype=dtype, device=device)
        self._room: dict[torch.dtype, Tensor] = {}

    def centre(
        self, given: Mapping[str, Tensor], rows: int, mean: Tensor | None, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The layers side by side, shape (rows, channels), less the base; the sum of what is left.

        The rest of the mean is small, and is taken off the sums of products: so the rows are touched but once.

        Args:
            given: {layer: rows}, as (..., channels).
            mean: known so far, from which the base is made; None takes that of the first rows.
            weights: shape (rows,), of each row in the sum.

        Raises:
            MeasureError: a layer is missing or unknown, of another width, or has another number of rows.
            NonFiniteError: NaN or infinity; the message names the layer and the row.
        """
        self._check(given, rows)
        parts = [given[name].detach().to(self.device).reshape(rows, width) for name, width in self.layers.items()]
        if self.waiting == 0:
            if mean is None:
                mean = torch.cat([part.mean(0, dtype=torch.float64) for part in parts]) if rows else self.base
            self.base, self._sums = mean.to(self.dtype, copy=True), torch.zeros_like(self.left)
        if len({part.dtype for part in parts}) > 1:
            parts = [part.to(self.dtype) for part in parts]
        joined = self._rooms(rows, self.dtype)
        together = parts[0] if len(parts) == 1 else torch.cat(parts, 1, out=self._rooms(rows, parts[0].dtype))
        torch.sub(together, self.base, out=joined)
        found = joined.sum(0) if weights is None else torch.mv(joined.T, weights.to(joined))
        if not bool(torch.isfinite(found).all()):
            raise self._not_finite(given)
        return joined, found

    def add(self, found: Tensor, rows: int) -> None:
        """Count rows whose sum is ``found``."""
        self._sums += found
        self.waiting += rows

    def close(self) -> Tensor:
        """Wait for no more rows: the mean of those that waited, shape (channels,), float64.

        Again the same if called again.
        """
        if self.waiting:
            self.left, self.waiting = self._sums / self.waiting, 0
        return self.base.to(torch.float64) + self.left.to(torch.float64)

    def _rooms(self, rows: int, dtype: torch.dtype) -> Tensor:
        """Memory for rows, kept from batch to batch: fresh memory costs as much as the arithmetic."""
        room = self._room.get(dtype)
        if room is None or len(room) < rows:
            room = self._room[dtype] = torch.empty(rows, len(self.base), dtype=dtype, device=self.device)
        return room[:rows]

    def _check(self, given: Mapping[str, Tensor], rows: int) -> None:
        if set(given) != set(self.layers):
            raise MeasureError(
                f"A batch must hold every {self.name} layer of the grid: expected {', '.join(self.layers)}, found "
                f"{', '.join(given) or 'none'}."
            )
        for name, width in self.layers.items():
            if not isinstance(given[name], Tensor):
                raise MeasureError(
                    f"The {self.name} layer {name} must come as a tensor, found {type(given[name]).__name__}: "
                    "try torch.as_tensor."
                )
            shape = tuple(given[name].shape)
            if shape[-1:] != (width,) or given[name].numel() != rows * width:
                raise MeasureError(
                    f"The {self.name} layer {name} must come as rows of {width} channels, as many as the others: "
                    f"expected shape ({rows}, {width}), found {shape}."
                )

    def _not_finite(self, given: Mapping[str, Tensor]) -> Exception:
        for name in self.layers:
            bad = (~torch.isfinite(given[name].reshape(-1, given[name].shape[-1]))).any(1).nonzero()
            if len(bad):
                return NonFiniteError(
                    f"The {self.name} activations at {name} hold NaN or infinity, first in row {int(bad[0])} of the "
                    "batch: expected finite numbers; check the network's weights and inputs, or use float32 "
                    "instead of half precision."
                )
        return NonFiniteError(
            f"The sum of the {self.name} activations overflows: rescale them, or use sums in float64."
        )


def rows_of(values: Mapping[str, Tensor]) -> int:
    """How many rows a batch holds, judged by its first layer."""
    first = next(iter(values.values()), None)
    return first.shape[:-1].numel() if isinstance(first, Tensor) else 0
