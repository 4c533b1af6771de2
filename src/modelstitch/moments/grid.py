"""The sums of one pass for every layer of two networks at once: all pairs, each as its own Moments.

The channels of a network's layers are laid side by side, so that one product a batch serves all pairs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import MeasureError, NonFiniteError
from ..support import tensors
from ..support.fast.products import add_inner
from ..support.memory import require
from ..support.ranks import Ranks
from ..support.reading import json_of
from .moments import Known, Moments


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


_KIND = "moments of all pairs"
_WAY_OUT = "choose fewer layers, sums in float32, or average the positions of wide layers first"


class MomentsGrid:
    """Sum the centred second moments of every bottom layer with every top layer, over the same rows.

    Rows are examples, or positions where all layers have the same ones. Batches merge by the pairwise update
    of Chan, Golub and LeVeque (1983); memory does not grow with the number of rows.

    Args:
        bottom_layers: {layer: channels} of the bottom network.
        top_layers: {layer: channels} of the top network; None: one set, each layer with each of the bottom's.
        dtype: torch.float64, or torch.float32: half the memory, about twice as fast, sums good to about 1e-6.
        device: where the sums are kept; batches are brought there.
        available: bytes that may be used; by default what the machine has free (main memory, not a GPU's).

    Attributes:
        bottom_layers: {layer: channels}, in the order given.
        top_layers: the same of the other side.
        one_set: both sides are the same rows: every layer meets every other one, and itself, in one product.
        n: the rows seen; a resumed pass skips as many.
        dtype: of the sums, and of a pair's moments. Means are kept in float64.

    Raises:
        MeasureError: no layers, a width below 1, another dtype, or sums that do not fit; the message holds both sizes.

    Examples:
        >>> grid = ms.moments.MomentsGrid({"a": 4}, {"b": 3})
        >>> grid.update({"a": x}, {"b": y})
        >>> grid.n, grid.pair("a", "b").xy.shape
        (60, torch.Size([4, 3]))
    """

    def __init__(
        self,
        bottom_layers: Mapping[str, int],
        top_layers: Mapping[str, int] | None,
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        available: int | None = None,
    ) -> None:
        if dtype not in (torch.float64, torch.float32):
            raise MeasureError(f"Sums are kept in float64 or float32, found {dtype}: choose one of the two.")
        one_set = top_layers is None
        top_layers = bottom_layers if top_layers is None else top_layers
        for side, layers in (("bottom", bottom_layers), ("top", top_layers)):
            if not layers or min(layers.values()) < 1:
                raise MeasureError(
                    f"Moments need at least one {side} layer, each with a channel, found {dict(layers)}."
                )
        device = torch.device(device)
        self.bottom_layers, self.top_layers = dict(bottom_layers), dict(top_layers)
        self.n, self.dtype, self.one_set = 0, dtype, one_set
        self._known: tuple[dict[str, Known], dict[str, Known]] = ({}, {})
        if device.type == "cpu" or available is not None:
            what = f"The moments of {len(bottom_layers)} x {len(top_layers)} layers"
            require(self.needed(), what, _WAY_OUT, available=available)
        self._below = Side("bottom", bottom_layers, dtype, device)
        self._above = self._below if one_set else Side("top", top_layers, dtype, device)
        p, q = sum(bottom_layers.values()), sum(top_layers.values())

        def zeros(*shape: int, dtype: torch.dtype = dtype) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        self.mean_x, self.xy = zeros(p, dtype=torch.float64), zeros(p, q)
        self._own: list[tuple[Side, dict[str, Tensor]]] = []
        if one_set:
            self.mean_y = self.mean_x
            self.xx = self.yy = {name: self.xy[part, part] for name, part in self._below.slices.items()}
            return
        self.mean_y = zeros(q, dtype=torch.float64)
        self.xx = {name: zeros(width, width) for name, width in bottom_layers.items()}
        self.yy = {name: zeros(width, width) for name, width in top_layers.items()}
        self._own = [(self._below, self.xx), (self._above, self.yy)]

    @staticmethod
    def bytes_needed(
        bottom_layers: Mapping[str, int], top_layers: Mapping[str, int] | None, dtype: torch.dtype = torch.float64
    ) -> int:
        """Count the bytes that the sums of these layers take, whatever the number of rows.

        A batch comes on top.

        Args:
            bottom_layers: {layer: channels}.
            top_layers: {layer: channels}; None: one set.
            dtype: of the sums.

        Returns:
            The bytes.

        Examples:
            >>> ms.moments.MomentsGrid.bytes_needed({"a": 4}, None)
            160
        """
        p = sum(bottom_layers.values())
        if top_layers is None:
            return dtype.itemsize * p**2 + 8 * p
        q = sum(top_layers.values())
        squares = sum(width**2 for layers in (bottom_layers, top_layers) for width in layers.values())
        return dtype.itemsize * (p * q + squares) + 8 * (p + q)

    def needed(self) -> int:
        """Count the bytes that these sums take.

        Returns:
            The bytes.

        Examples:
            >>> grid = ms.moments.MomentsGrid({"a": 4}, {"b": 3})
            >>> grid.update({"a": x}, {"b": y})
            >>> grid.needed()
            352
        """
        return self.bytes_needed(self.bottom_layers, None if self.one_set else self.top_layers, self.dtype)

    def update(self, bottom: Mapping[str, Tensor], top: Mapping[str, Tensor]) -> None:
        """Add a batch, in place.

        Nothing is added if it raises.

        Args:
            bottom: {layer: rows (n, channels)} of every layer; rows may come as (..., channels).
            top: the same; of one set it is not looked at.

        Raises:
            MeasureError: a layer is missing or unknown, of another width, or has another number of rows.
            NonFiniteError: NaN or infinity; the message names the layer and the row within the batch.

        Examples:
            >>> grid = ms.moments.MomentsGrid({"a": 4}, {"b": 3})
            >>> grid.update({"a": x}, {"b": y})
            >>> grid.n
            60
        """
        self.take(bottom, top)
        self.settle()

    def take(self, bottom: Mapping[str, Tensor], top: Mapping[str, Tensor]) -> None:
        """Add a part of a batch, whose rows count once ``settle`` is called.

        Whoever reads the sums calls it. Small parts stay in the cache while they are multiplied. A part that raises
        leaves the earlier ones added, so that the grid is of no more use.

        Args:
            bottom: as for ``update``.
            top: as for ``update``.

        Raises:
            MeasureError, NonFiniteError: as ``update``.

        Examples:
            >>> grid = ms.moments.MomentsGrid({"a": 4}, {"b": 3})
            >>> grid.take({"a": x}, {"b": y})
            >>> grid.settle()
            >>> grid.n
            60
        """
        rows = rows_of(bottom)
        x, of_x = self._below.centre(bottom, rows, self.mean_x if self.n else None)
        self._below.add(of_x, rows)
        if self.one_set:
            if rows:
                self._cross(x, x)
            return
        y, of_y = self._above.centre(top, rows, self.mean_y if self.n else None)
        self._above.add(of_y, rows)
        if rows:
            self._squares(self._below, self.xx, x)
            self._squares(self._above, self.yy, y)
            self._cross(x, y)

    def settle(self) -> None:
        """Count the rows taken, and move the sums to the mean of all.

        Examples:
            >>> grid = ms.moments.MomentsGrid({"a": 4}, {"b": 3})
            >>> grid.update({"a": x}, {"b": y})
            >>> grid.settle()  # ``update`` has
        """
        rows = self._below.waiting
        if rows:
            mean_x, mean_y = self._below.close(), self._above.close()
            self._move(self._below.left, self._above.left, -rows)
            self._shift(rows, mean_x, mean_y)

    def _squares(self, side: Side, sums: Mapping[str, Tensor], x: Tensor, y: Tensor | None = None) -> None:
        """Add the products of every layer with itself, or with the same layer in ``y``."""
        for name, part in side.slices.items():
            add_inner(sums[name], x[:, part], None if y is None else y[:, part])

    def _cross(self, x: Tensor, y: Tensor) -> None:
        """Add the products of two batches, all layers side by side; of a batch with itself by half the work."""
        add_inner(self.xy, x, None if y is x else y)

    def _move(self, dx: Tensor, dy: Tensor, times: float) -> None:
        """Add so many times the products of two rows of all layers."""
        for side, sums in self._own:
            d = dx if side is self._below else dy
            for name, part in side.slices.items():
                sums[name].addr_(d[part], d[part], alpha=times)
        self.xy.addr_(dx, dy, alpha=times)

    def merge(self, other: MomentsGrid) -> None:
        """Add another pass over the same layers, in place; ``a + b`` makes a new one.

        Args:
            other: the sums of other rows.

        Raises:
            MeasureError: other layers, widths or dtype.

        Examples:
            >>> grid = ms.moments.MomentsGrid({"a": 4}, {"b": 3})
            >>> grid.update({"a": x}, {"b": y})
            >>> grid.merge(grid + grid)
            >>> grid.n
            180
        """
        same = (self.bottom_layers, self.top_layers, self.dtype, self.one_set)
        if same != (other.bottom_layers, other.top_layers, other.dtype, other.one_set):
            raise MeasureError(
                f"Moments of different layers cannot be added: expected {_shape(self)}, found {_shape(other)}; collect "
                "both over the same layers, in the same order."
            )
        self.settle()
        other.settle()
        if other.n == 0:
            return
        for (_, mine), (_, others) in zip(self._own, other._own, strict=True):
            for name in mine:
                mine[name] += others[name].to(mine[name].device)
        self.xy += other.xy.to(self.xy.device)
        self._shift(other.n, other.mean_x.to(self.xy.device), other.mean_y.to(self.xy.device))

    def __add__(self, other: MomentsGrid) -> MomentsGrid:
        tops = None if self.one_set else self.top_layers
        total = MomentsGrid(self.bottom_layers, tops, dtype=self.dtype, device=self.xy.device)
        total.merge(self)
        total.merge(other)
        return total

    def gather(self, ranks: Ranks) -> None:
        """Count the rows of all processes, each of which gives its own, in place; equal on all.

        Args:
            ranks: the processes.

        Examples:
            >>> group = torch.distributed  # here of one process
            >>> group.init_process_group("gloo", store=group.HashStore(), rank=0, world_size=1)
            >>> grid = ms.moments.MomentsGrid({"a": 4}, {"b": 3})
            >>> grid.update({"a": x}, {"b": y})
            >>> with ms.across_ranks() as ranks:
            ...     grid.gather(ranks)
            >>> grid.n
            60
            >>> group.destroy_process_group()
        """
        self.settle()
        n = ranks.count(self.n)
        if n == 0:
            return
        mean_x = self.mean_x * (self.n / n)
        mean_y = mean_x if self.one_set else self.mean_y * (self.n / n)
        ranks.add(*([mean_x] if self.one_set else [mean_x, mean_y]))
        self._move((self.mean_x - mean_x).to(self.dtype), (self.mean_y - mean_y).to(self.dtype), self.n)
        ranks.add(*self._added())
        self.n, self.mean_x, self.mean_y, self._known = n, mean_x, mean_y, ({}, {})

    def _added(self) -> list[Tensor]:
        """The sums that are this grid's own."""
        return [self.xy, *(value for _, sums in self._own for value in sums.values())]

    def pair(self, bottom_layer: str, top_layer: str) -> Moments:
        """Give the moments of one pair of layers.

        They share memory with the grid, so do not change them in place.

        Args:
            bottom_layer: its name.
            top_layer: its name.

        Returns:
            The moments.

        Raises:
            MeasureError: no such layer in the grid.

        Examples:
            >>> grid = ms.moments.MomentsGrid({"a": 4}, {"b": 3})
            >>> grid.update({"a": x}, {"b": y})
            >>> grid.pair("a", "b").n
            60
        """
        for side, layers, name in (("bottom", self.bottom_layers, bottom_layer), ("top", self.top_layers, top_layer)):
            if name not in layers:
                raise MeasureError(f"The moments hold no {side} layer {name!r}: expected one of {', '.join(layers)}.")
        self.settle()
        i, j = self._below.slices[bottom_layer], self._above.slices[top_layer]
        means = self.mean_x[i].to(self.dtype), self.mean_y[j].to(self.dtype)
        below, above = self._known
        known = below.setdefault(bottom_layer, {}), (below if self.one_set else above).setdefault(top_layer, {})
        sums = self.xx[bottom_layer], self.yy[top_layer], self.xy[i, j]
        return Moments(self.n, *means, *sums).sharing(*known)

    def save(self, path: str | Path) -> None:
        """Write the sums as safetensors with a digest, whole or not at all; ``load`` goes on from there.

        Args:
            path: the file.

        Raises:
            StudyError: the disk is full, or the folder cannot be written to.

        Examples:
            >>> grid = ms.moments.MomentsGrid({"a": 4}, {"b": 3})
            >>> grid.update({"a": x}, {"b": y})
            >>> grid.save("sums.safetensors")
            >>> ms.moments.MomentsGrid.load("sums.safetensors").n
            60
        """
        self.settle()
        layers = {"bottom": self.bottom_layers, **({} if self.one_set else {"top": self.top_layers})}
        metadata = {side: json.dumps(list(widths.items())) for side, widths in layers.items()}
        tensors.save(Path(path), self.tensors(), {**metadata, "of": _KIND, "n": str(self.n)})

    @classmethod
    def load(cls, path: str | Path, *, device: torch.device | str = "cpu") -> MomentsGrid:
        """Read what ``save`` wrote.

        Args:
            path: the file.
            device: where the sums are to lie.

        Returns:
            The grid.

        Raises:
            MeasureError: the file is missing, is not a grid of moments, or changed since it was written; a grid that
                keeps more than these sums was asked for.

        Examples:
            >>> grid = ms.moments.MomentsGrid({"a": 4}, {"b": 3})
            >>> grid.update({"a": x}, {"b": y})
            >>> grid.save("sums.safetensors")
            >>> torch.equal(ms.moments.MomentsGrid.load("sums.safetensors").xy, grid.xy)
            True
        """
        if cls is not MomentsGrid:
            raise MeasureError(
                f"A {cls.__name__} keeps more than a file of sums holds: read the file with MomentsGrid.load, or "
                f"pass the data again."
            )
        try:
            with tensors.opened(Path(path), device) as (file, metadata):
                if metadata.get("of") != _KIND:
                    raise ValueError(f"it holds {metadata.get('of') or 'something else'}")
                bottom = dict(json_of(metadata["bottom"]))
                top = dict(json_of(metadata["top"])) if "top" in metadata else None
                dtype = {"F64": torch.float64, "F32": torch.float32}[file.get_slice("xy").get_dtype()]
                grid = cls(bottom, top, dtype=dtype, device=device)
                grid.n = int(metadata["n"])
                for name, target in grid.tensors().items():
                    found = file.get_tensor(name)
                    if found.shape != target.shape:
                        raise ValueError(f"{name} has shape {tuple(found.shape)}")
                    target.copy_(found)
        except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise MeasureError(
                f"{path} holds no grid of moments ({error}): expected a file that save wrote; make it anew."
            ) from error
        return grid

    def tensors(self) -> dict[str, Tensor]:
        """Give all sums by name, as they are kept; beside them only the number of rows.

        Returns:
            The tensors.

        Examples:
            >>> grid = ms.moments.MomentsGrid({"a": 4}, {"b": 3})
            >>> grid.update({"a": x}, {"b": y})
            >>> sorted(grid.tensors())
            ['mean_x', 'mean_y', 'xx.0', 'xy', 'yy.0']
        """
        if self.one_set:
            return {"mean_x": self.mean_x, "xy": self.xy}
        named = {"mean_x": self.mean_x, "mean_y": self.mean_y, "xy": self.xy}
        for key, sums in (("xx", self.xx), ("yy", self.yy)):
            named |= {f"{key}.{i}": value for i, value in enumerate(sums.values())}
        return named

    def state(self) -> dict[str, Any]:
        """Give what was counted so far.

        Returns:
            The sums and the number of rows.

        Examples:
            >>> grid = ms.moments.MomentsGrid({"a": 4}, {"b": 3})
            >>> grid.update({"a": x}, {"b": y})
            >>> grid.state()["n"]
            60
        """
        return {"n": self.n, **self.tensors()}

    def take_up(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` gave.

        Args:
            state: of a grid over the same layers.

        Examples:
            >>> grid = ms.moments.MomentsGrid({"a": 4}, {"b": 3})
            >>> grid.update({"a": x}, {"b": y})
            >>> again = ms.moments.MomentsGrid({"a": 4}, {"b": 3})
            >>> again.take_up(grid.state())
            >>> again.n
            60
        """
        self.n = state["n"]
        for name, target in self.tensors().items():
            target.copy_(state[name])

    def _shift(self, rows: int, mean_x: Tensor, mean_y: Tensor) -> None:
        """Count ``rows`` more, of these means, whose centred sums have been added."""
        n = self.n + rows
        weight, dx, dy = rows / n, mean_x - self.mean_x, mean_y - self.mean_y
        self._move(dx.to(self.dtype), dy.to(self.dtype), self.n * weight)
        self.mean_x += weight * dx
        if not self.one_set:
            self.mean_y += weight * dy
        self.n, self._known = n, ({}, {})


def _shape(grid: MomentsGrid) -> str:
    return f"{grid.bottom_layers} with {grid.top_layers} in {str(grid.dtype).removeprefix('torch.')}"
