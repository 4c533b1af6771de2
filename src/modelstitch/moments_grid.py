"""The sums of one pass for every layer of two networks at once: all pairs, each as its own Moments.

The channels of a network's layers are laid side by side, so that one product a batch serves all pairs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .errors import MeasureError, NonFiniteError
from .memory import require
from .moments import Moments

_WAY_OUT = "choose fewer layers, sums in float32, or average the positions of wide layers first"


class MomentsGrid:
    """Centred second moments of every bottom layer with every top layer, over the same rows.

    Rows are examples, or positions where all layers have the same ones. Batches merge by the pairwise update
    of Chan, Golub and LeVeque (1983); memory does not grow with the number of rows.

    Attributes:
        bottom_layers, top_layers: {layer: channels}, in the order given.
        n: the rows seen; a resumed pass skips as many.
        dtype: of the sums. Means are always float64.
    """

    def __init__(
        self,
        bottom_layers: Mapping[str, int],
        top_layers: Mapping[str, int],
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        available: int | None = None,
    ) -> None:
        """Reserve the sums of no rows.

        Args:
            bottom_layers, top_layers: {layer: channels} of the two networks.
            dtype: torch.float64, or torch.float32: half the memory, about twice as fast, sums good to about
                1e-6.
            device: where the sums are kept; batches are brought there.
            available: bytes that may be used; by default what the machine has free (main memory, not a
                GPU's).

        Raises:
            MeasureError: no layers, a width below 1, another dtype, or sums that do not fit; the message
                holds both sizes.
        """
        if dtype not in (torch.float64, torch.float32):
            raise MeasureError(f"Sums are kept in float64 or float32, found {dtype}: choose one of the two.")
        for side, layers in (("bottom", bottom_layers), ("top", top_layers)):
            if not layers or min(layers.values()) < 1:
                raise MeasureError(
                    f"Moments need at least one {side} layer, each with a channel, found {dict(layers)}."
                )
        device = torch.device(device)
        self.bottom_layers, self.top_layers = dict(bottom_layers), dict(top_layers)
        self.n, self.dtype = 0, dtype
        if device.type == "cpu" or available is not None:
            what = f"The moments of {len(bottom_layers)} x {len(top_layers)} layers"
            require(self.needed(), what, _WAY_OUT, available=available)
        self._x, self._y = _slices(bottom_layers), _slices(top_layers)
        self._rooms: dict[str, Tensor] = {}
        p, q = sum(bottom_layers.values()), sum(top_layers.values())

        def zeros(*shape: int, dtype: torch.dtype = dtype) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        self.mean_x, self.mean_y = zeros(p, dtype=torch.float64), zeros(q, dtype=torch.float64)
        self.xx = {name: zeros(width, width) for name, width in bottom_layers.items()}
        self.yy = {name: zeros(width, width) for name, width in top_layers.items()}
        self.xy = zeros(p, q)

    @staticmethod
    def bytes_needed(
        bottom_layers: Mapping[str, int], top_layers: Mapping[str, int], dtype: torch.dtype = torch.float64
    ) -> int:
        """The bytes that the sums of these layers take, whatever the number of rows; a batch comes on top."""
        p, q = sum(bottom_layers.values()), sum(top_layers.values())
        squares = sum(width**2 for layers in (bottom_layers, top_layers) for width in layers.values())
        return dtype.itemsize * (p * q + squares) + 8 * (p + q)

    def needed(self) -> int:
        """The bytes that these sums take."""
        return self.bytes_needed(self.bottom_layers, self.top_layers, self.dtype)

    def update(self, bottom: Mapping[str, Tensor], top: Mapping[str, Tensor]) -> None:
        """Add a batch: {layer: rows (n, channels)} of every layer, in place; rows may come as (..., channels).

        Nothing is added if it raises.

        Raises:
            MeasureError: a layer is missing or unknown, of another width, or has another number of rows.
            NonFiniteError: NaN or infinity; the message names the layer and the row within the batch.
        """
        rows = rows_of(bottom)
        x, mean_x, dx = self._batch("bottom", self.bottom_layers, bottom, rows, self.mean_x)
        y, mean_y, dy = self._batch("top", self.top_layers, top, rows, self.mean_y)
        if rows == 0:
            return
        self._squares(self._x, self.xx, x, x, dx, rows)
        self._squares(self._y, self.yy, y, y, dy, rows)
        self._cross(x, y, dx, dy)
        self._shift(rows, mean_x, mean_y)

    def _squares(
        self, layers: Mapping[str, slice], sums: Mapping[str, Tensor], x: Tensor, y: Tensor, d: Tensor, rows: int
    ) -> None:
        """Add the products of every layer with itself, of a batch of mean d, as if it were centred."""
        for name, part in layers.items():
            sums[name].addmm_(x[:, part].T, y[:, part]).addr_(d[part], d[part], alpha=-rows)

    def _cross(self, x: Tensor, y: Tensor, dx: Tensor, dy: Tensor) -> None:
        """Add the products of two batches of means dx and dy, all layers side by side, as if they were centred."""
        self.xy.addmm_(x.T, y).addr_(dx, dy, alpha=-len(x))

    def merge(self, other: MomentsGrid) -> None:
        """Add another pass over the same layers, in place; ``a + b`` makes a new one.

        Raises:
            MeasureError: other layers, widths or dtype.
        """
        same = (self.bottom_layers, self.top_layers, self.dtype)
        if same != (other.bottom_layers, other.top_layers, other.dtype):
            raise MeasureError(
                f"Moments of different layers cannot be added: expected {_shape(self)}, found "
                f"{_shape(other)}; "
                "collect both over the same layers, in the same order."
            )
        if other.n == 0:
            return
        for mine, others in ((self.xx, other.xx), (self.yy, other.yy)):
            for name in mine:
                mine[name] += others[name].to(mine[name].device)
        self.xy += other.xy.to(self.xy.device)
        self._shift(other.n, other.mean_x.to(self.xy.device), other.mean_y.to(self.xy.device))

    def __add__(self, other: MomentsGrid) -> MomentsGrid:
        total = MomentsGrid(self.bottom_layers, self.top_layers, dtype=self.dtype, device=self.xy.device)
        total.merge(self)
        total.merge(other)
        return total

    def pair(self, bottom_layer: str, top_layer: str) -> Moments:
        """The moments of one pair of layers; they share memory with the grid, so do not change them in place.

        Raises:
            MeasureError: no such layer in the grid.
        """
        for side, layers, name in (("bottom", self._x, bottom_layer), ("top", self._y, top_layer)):
            if name not in layers:
                raise MeasureError(f"The moments hold no {side} layer {name!r}: expected one of {', '.join(layers)}.")
        i, j = self._x[bottom_layer], self._y[top_layer]
        means = self.mean_x[i].to(self.dtype), self.mean_y[j].to(self.dtype)
        return Moments(self.n, *means, self.xx[bottom_layer], self.yy[top_layer], self.xy[i, j])

    def save(self, path: str | Path) -> None:
        """Write the sums as safetensors, whole or not at all; :meth:`load` goes on from there."""
        layers = {"bottom": self.bottom_layers, "top": self.top_layers}
        metadata = {side: json.dumps(list(widths.items())) for side, widths in layers.items()}
        metadata["n"] = str(self.n)
        beside = Path(f"{path}.{os.getpid()}.part")
        try:
            save_file(self.tensors(), beside, metadata=metadata)
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path, *, device: torch.device | str = "cpu") -> MomentsGrid:
        """Read what :meth:`save` wrote.

        Raises:
            MeasureError: the file is missing, or is not a grid of moments.
        """
        try:
            with safe_open(path, framework="pt", device=str(device)) as file:
                metadata = file.metadata() or {}
                bottom, top = (dict(json.loads(metadata[side])) for side in ("bottom", "top"))
                dtype = {"F64": torch.float64, "F32": torch.float32}[file.get_slice("xy").get_dtype()]
                grid = cls(bottom, top, dtype=dtype, device=device)
                grid.n = int(metadata["n"])
                for name, target in grid.tensors().items():
                    found = file.get_tensor(name)
                    if found.shape != target.shape:
                        raise ValueError(f"{name} has shape {tuple(found.shape)}")
                    target.copy_(found)
        except (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise MeasureError(
                f"{path} holds no grid of moments ({error}): expected a file that save wrote."
            ) from error
        return grid

    def tensors(self) -> dict[str, Tensor]:
        """All sums by name, as they are kept; beside them only the number of rows."""
        named = {"mean_x": self.mean_x, "mean_y": self.mean_y, "xy": self.xy}
        for key, sums in (("xx", self.xx), ("yy", self.yy)):
            named |= {f"{key}.{i}": value for i, value in enumerate(sums.values())}
        return named

    def _batch(
        self,
        side: str,
        layers: Mapping[str, int],
        given: Mapping[str, Tensor],
        rows: int,
        known: Tensor,
        weights: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The layers side by side, shape (rows, channels), less a mean known so far; their means; what is left of them.

        The rest of the mean is small, and is taken off the sums: so the rows are touched but once. ``weights`` (rows,): of a
        mean that is not the plain one.
        """
        if set(given) != set(layers):
            raise MeasureError(
                f"A batch must hold every {side} layer of the grid: expected {', '.join(layers)}, found "
                f"{', '.join(given) or 'none'}."
            )
        for name, width in layers.items():
            shape = tuple(given[name].shape)
            if shape[-1:] != (width,) or given[name].numel() != rows * width:
                raise MeasureError(
                    f"The {side} layer {name} must come as rows of {width} channels, as many as the others: "
                    f"expected shape ({rows}, {width}), found {shape}."
                )
        device = self.xy.device
        parts = [given[name].detach().to(device) for name in layers]
        if self.n == 0 and rows:
            known = torch.cat([part.mean(tuple(range(part.ndim - 1)), dtype=torch.float64) for part in parts])
        taken = known.to(self.dtype)
        joined = self._room(side, rows, len(known))
        for part, at in zip(parts, _slices(layers).values()):
            torch.sub(part, taken[at], out=joined.view(*part.shape[:-1], len(known))[..., at])
        share = joined.new_full((rows,), 1 / max(rows, 1)) if weights is None else weights.to(joined)
        rest = torch.mv(joined.T, share)
        if not bool(torch.isfinite(rest).all()):
            raise _not_finite(side, layers, given)
        return joined, taken.to(torch.float64) + rest.to(torch.float64), rest

    def _room(self, side: str, rows: int, channels: int) -> Tensor:
        """Memory for a batch, kept from batch to batch: fresh memory costs as much as the arithmetic."""
        kept = self._rooms.get(side)
        if kept is None or len(kept) < rows:
            kept = self._rooms[side] = torch.empty(rows, channels, dtype=self.dtype, device=self.xy.device)
        return kept[:rows]

    def _shift(self, rows: int, mean_x: Tensor, mean_y: Tensor, *, top: bool = True) -> None:
        """Count ``rows`` more, whose centred sums have been added, of these means; ``top``: move the top's own sums too."""
        n = self.n + rows
        weight, dx, dy = rows / n, mean_x - self.mean_x, mean_y - self.mean_y
        scale = self.n * weight
        for layers, sums, d in ((self._x, self.xx, dx), (self._y, self.yy, dy))[: 2 if top else 1]:
            for name, part in layers.items():
                sums[name].addr_(d[part].to(self.dtype), d[part].to(self.dtype), alpha=scale)
        self.xy.addr_(dx.to(self.dtype), dy.to(self.dtype), alpha=scale)
        self.mean_x += weight * dx
        self.mean_y += weight * dy
        self.n = n


def rows_of(values: Mapping[str, Tensor]) -> int:
    """How many rows a batch holds, judged by its first layer."""
    return next((value.shape[:-1].numel() for value in values.values()), 0)


def _slices(layers: Mapping[str, int]) -> dict[str, slice]:
    ends = list(accumulate(layers.values()))
    return {name: slice(end - width, end) for (name, width), end in zip(layers.items(), ends)}


def _shape(grid: MomentsGrid) -> str:
    return f"{grid.bottom_layers} with {grid.top_layers} in {str(grid.dtype).removeprefix('torch.')}"


def _not_finite(side: str, layers: Mapping[str, int], given: Mapping[str, Tensor]) -> Exception:
    for name in layers:
        bad = (~torch.isfinite(given[name].reshape(-1, given[name].shape[-1]))).any(1).nonzero()
        if len(bad):
            return NonFiniteError(
                f"The {side} activations at {name} hold NaN or infinity, first in row {int(bad[0])} of the "
                "batch: expected finite numbers; check the network's weights and inputs, or use float32 "
                "instead of half precision."
            )
    return NonFiniteError(f"The sum of the {side} activations overflows: rescale them, or use sums in float64.")
