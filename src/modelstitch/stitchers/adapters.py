"""Where the channels of an activation are, by kind, and the parameter-free adapters between two layers.

Adapters come before the map, so that any layer can face any layer: resize a map or a volume, map <-> tokens, prefix
tokens (class, distillation, register), pooled vectors. They have no parameters; a record states them in words.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ShapeError
from ..network import CHANNEL_AXIS, Layer, positions_of

_MOST_PREFIX = 8
KINDS = tuple(CHANNEL_AXIS)


class Layout(NamedTuple):
    """Say how one sample's activation lies.

    Attributes:
        kind: "map", "sequence", "grid", "tokens", "vector", "volume" or "lattice".
        shape: of one sample, as the kind orders its axes.
        over: what the positions lie on: "image" or "line".
        grid: (height, width) of the positions, where it is known.

    Examples:
        >>> ms.stitchers.Layout("map", (64, 8, 8)).over
        'image'
    """

    kind: str
    shape: tuple[int, ...]
    over: str = "image"
    grid: tuple[int, int] | None = None


def rows(x: Tensor, kind: str, mask: Tensor | None = None) -> Tensor:
    """Give all positions of a batch as rows.

    Shapes in: map (b, c, h, w), sequence (b, c, t), grid (b, h, w, c), tokens (b, t, c), vector (b, c), volume (b, c,
    d, h, w), lattice (b, d, h, w, c).

    Args:
        x: the activation of a batch.
        kind: how it lies.
        mask: bool (b, t): of padded sequences the positions that hold a token; others give no row.

    Returns:
        Rows (n, channels).

    Examples:
        >>> ms.stitchers.rows(torch.zeros(2, 5, 4, 4), "map").shape
        torch.Size([32, 5])
    """
    last = channels_last(x, kind)
    if mask is not None and masks(mask, x, kind):
        return last[mask.to(x.device)]
    return last.reshape(-1, last.shape[-1])


def channels_last(x: Tensor, kind: str) -> Tensor:
    """View a batch with its channels last.

    Args:
        x: the activation of a batch.
        kind: how it lies.

    Returns:
        A view (b, ..., channels).

    Examples:
        >>> ms.stitchers.channels_last(torch.zeros(2, 5, 4, 4), "map").shape
        torch.Size([2, 4, 4, 5])
    """
    return x.movedim(CHANNEL_AXIS[kind], -1)


def channels_back(x: Tensor, kind: str) -> Tensor:
    """View a batch (b, ..., channels) in the kind's own order.

    Args:
        x: with its channels last.
        kind: how it is to lie.

    Returns:
        A view.

    Examples:
        >>> ms.stitchers.channels_back(torch.zeros(2, 4, 4, 5), "map").shape
        torch.Size([2, 5, 4, 4])
    """
    return x.movedim(-1, CHANNEL_AXIS[kind])


def masks(mask: Tensor, x: Tensor, kind: str) -> bool:
    """Tell whether a mask is about the positions of an activation.

    It is where they are tokens or a sequence, as many as the mask has. Tokens of another number (latents, pooled ones)
    are not those of the text, and none of them is padding.

    Args:
        mask: bool (b, t).
        x: the activation.
        kind: how it lies.

    Returns:
        Whether it is.

    Examples:
        >>> mask = torch.ones(2, 7, dtype=torch.bool)
        >>> ms.stitchers.masks(mask, torch.zeros(2, 7, 5), "tokens")
        True
    """
    return kind in ("tokens", "sequence") and channels_last(x, kind).shape[:2] == mask.shape


class Adapter(nn.Module):
    """Bring an activation of one shape to the positions of another; channels stay.

    Args:
        source: layout of the bottom's activation, e.g. Layout("map", (64, 8, 8)).
        target: the same for the activation the top expects.

    Raises:
        ShapeError: if no parameter-free step joins the two.

    Examples:
        >>> adapter = ms.stitchers.Adapter(ms.stitchers.Layout("map", (5, 8, 8)), ms.stitchers.Layout("map", (9, 4, 4)))
        >>> adapter(torch.zeros(2, 5, 8, 8)).shape
        torch.Size([2, 5, 4, 4])
    """

    def __init__(self, source: Layout, target: Layout) -> None:
        super().__init__()
        self.source, self.target = source, target
        for kind, shape, *_ in (source, target):
            if kind not in KINDS:
                raise ShapeError(
                    f"An activation of shape {shape} cannot be stitched: expected a map, a sequence (channels "
                    f"first), tokens "
                    "(channels last), a volume of a Conv3d or a vector, found none of them; choose another layer."
                )
        self.grid_in, self.prefix_in = _grid(source, beside=target)
        self.grid_out, self.prefix_out = _grid(target, beside=source)
        positions = positions_of(*source[:2])
        same = positions == positions_of(*target[:2]) and len(positions) == 1  # sequences, however they lie
        if same:
            self.grid_in = self.grid_out = (1, positions[0])
            self.prefix_in = self.prefix_out = 0
        self.plain = source.kind == target.kind and positions == positions_of(*target[:2])
        if not self.plain and not same and "vector" not in (source.kind, target.kind):
            _meet(source, self.grid_in, target, self.grid_out)

    def describe(self) -> str:
        """Say what the adapter does, in words; "none" if nothing.

        Returns:
            The words.

        Examples:
            >>> low, high = ms.stitchers.Layout("map", (5, 8, 8)), ms.stitchers.Layout("vector", (9,))
            >>> ms.stitchers.Adapter(low, high).describe()
            'mean over the positions of map (5, 8, 8)'
        """
        if self.plain:
            return "none"
        steps = []
        (kind_in, shape_in, *_), (kind_out, shape_out, *_) = self.source, self.target
        if kind_out == "vector":
            return f"mean over the positions of {kind_in} {shape_in}"
        if kind_in == "vector":
            return f"vector repeated at every position of {kind_out} {shape_out}"
        if kind_in != kind_out:
            steps.append(f"{kind_in} to {kind_out}")
        if self.grid_in != self.grid_out:
            line = _on_line(self.source)
            sizes = f"{_size(self.grid_in, line)} to {_size(self.grid_out, line)}"
            up = "linear" if line else "trilinear" if self.grid_out and len(self.grid_out) == 3 else "bilinear"
            steps.append(f"resize {sizes} (area down, {up} up)")
        if self.prefix_in != self.prefix_out:
            steps.append(f"prefix tokens {self.prefix_in} to {self.prefix_out} (missing ones: mean of the positions)")
        return ", ".join(steps) or "none"

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Bring a batch of activations to the positions of the target.

        A mean over the tokens of padded sequences leaves out what the mask does not mark.

        Args:
            x: (b, ...) as the source lies.
            mask: bool (b, t): where padded sequences hold tokens.

        Returns:
            (b, ...) as the target lies, with the same channels.

        Examples:
            >>> low, high = ms.stitchers.Layout("map", (5, 8, 8)), ms.stitchers.Layout("vector", (9,))
            >>> ms.stitchers.Adapter(low, high)(torch.ones(2, 5, 8, 8)).shape
            torch.Size([2, 5])
        """
        if self.plain:
            return x
        kind_in, (kind_out, shape_out, *_) = self.source.kind, self.target
        if kind_out == "vector":
            if mask is not None and masks(mask, x, kind_in):
                return masked_mean(channels_last(x, kind_in), mask)
            return x if kind_in == "vector" else x.flatten(2).mean(2) if _first(kind_in) else x.flatten(1, -2).mean(1)
        if kind_in == "vector":
            return _spread(x, kind_out, shape_out)
        prefix, grid = self._split(x, kind_in)
        assert grid is not None
        assert self.grid_out is not None
        return self._join(prefix, resize(grid, self.grid_out), kind_out)

    def _split(self, x: Tensor, kind: str) -> tuple[Tensor | None, Tensor | None]:
        """Prefix tokens (b, k, c) and the grid as a map (b, c, h, w)."""
        if kind in ("map", "volume"):
            return None, x
        if kind in ("grid", "lattice"):
            return None, x.movedim(-1, 1)
        if self.grid_in is None:
            return x, None
        x = channels_last(x, kind)
        prefix, rest = x[:, : self.prefix_in], x[:, self.prefix_in :]
        return (prefix if self.prefix_in else None), rest.transpose(1, 2).reshape(len(x), x.shape[2], *self.grid_in)

    def _join(self, prefix: Tensor | None, grid: Tensor, kind: str) -> Tensor:
        if kind in ("map", "volume"):
            return grid
        if kind in ("grid", "lattice"):
            return grid.movedim(1, -1)
        tokens = grid.flatten(2).transpose(1, 2)
        if not self.prefix_out:
            return channels_back(tokens, kind)
        mean = tokens.mean(1, keepdim=True)
        found = [] if prefix is None else [prefix[:, i : i + 1] for i in range(min(self.prefix_in, self.prefix_out))]
        missing = [found[0] if found else mean] * (self.prefix_out - len(found))
        return channels_back(torch.cat([*found, *missing, tokens], 1), kind)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Average over the tokens that a mask marks.

    Args:
        x: tokens (b, t, channels).
        mask: bool (b, t).

    Returns:
        The mean, (b, channels).

    Examples:
        >>> tokens = torch.tensor([[[1.0], [3.0], [9.0]]])
        >>> ms.stitchers.masked_mean(tokens, torch.tensor([[True, True, False]])).item()
        2.0
    """
    marked = mask.to(x.device)[..., None]
    total = torch.where(marked, x, 0).sum(1)  # where, not a product: what padding holds may be NaN
    return total / marked.sum(1).clamp(min=1)


def adapter_between(bottom: Layer, top: Layer) -> Adapter:
    """Make the adapter from a bottom's layer to a top's layer.

    Args:
        bottom: the layer below.
        top: the layer above.

    Returns:
        The adapter.

    Raises:
        ShapeError: if the two shapes cannot meet; both layers are named.

    Examples:
        >>> ms.stitchers.adapter_between(bottom.layer("block1"), top.layer("block1")).describe()
        'none'
    """
    try:
        return Adapter(*(Layout(layer.kind, layer.shape, layer.over, layer.grid) for layer in (bottom, top)))
    except ShapeError as error:
        raise ShapeError(f"The layers {bottom.name!r} and {top.name!r} cannot be joined: {error}") from error


def resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """A map (b, c, h, w) or a volume (b, c, d, h, w) at another size.

    Area averaging where it shrinks, linear where it grows.
    """
    if tuple(x.shape[2:]) == size:
        return x
    if all(old >= new for old, new in zip(x.shape[2:], size)):
        pool: Any = F.adaptive_avg_pool2d if len(size) == 2 else F.adaptive_avg_pool3d
        pooled: Tensor = pool(x, size)
        return pooled
    return F.interpolate(x, size=size, mode="bilinear" if len(size) == 2 else "trilinear", align_corners=False)


def _spread(x: Tensor, kind: str, shape: tuple[int, ...]) -> Tensor:
    positions = positions_of(kind, shape)
    wide = x.view(len(x), *[1] * len(positions), -1).expand(-1, *positions, -1)
    return channels_back(wide, kind)


def _first(kind: str) -> bool:
    return CHANNEL_AXIS[kind] == 1 and kind != "vector"


def _grid(layout: Layout, *, beside: Layout | None) -> tuple[tuple[int, ...] | None, int]:
    """The (height, width) of the positions, or (depth, height, width), and the number of prefix tokens before them.

    Tokens over an image lie on a grid of the aspect of the last map before them, else of the map beside them, else
    square, after at most a few prefix tokens; along a line they are one row; any other length is a sequence.
    """
    positions = positions_of(*layout[:2])
    if len(positions) in (2, 3):
        return positions, 0
    if len(positions) != 1:
        return None, 0
    (length,) = positions
    if layout.over == "line":
        return (1, length), 0
    if layout.over == "image":
        around = positions_of(*beside[:2]) if beside and beside.kind in ("map", "grid") else (1, 1)
        for height, width in dict.fromkeys([layout.grid or around, around]):
            for prefix in range(min(_MOST_PREFIX, length - 4) + 1):
                area = length - prefix
                tall = math.isqrt(area * height // width)
                if tall and area % tall == 0 and tall * width == (area // tall) * height and prefix < area:
                    return (tall, area // tall), prefix
    return None, 0


def _meet(source: Layout, grid_in: tuple[int, ...] | None, target: Layout, grid_out: tuple[int, ...] | None) -> None:
    """Refuse sequences of different lengths on no grid or line, and different kinds side by side."""
    volumes = [side for side in (source, target) if side.kind in ("volume", "lattice")]
    if len(volumes) == 1:
        other = target if volumes[0] is source else source
        raise ShapeError(
            f"A {volumes[0].kind} {volumes[0].shape}, of a Conv3d or of the frames of a video, and {other.kind} "
            f"{other.shape} cannot meet: "
            "expected volumes on both sides, or a vector; choose a layer behind the pooling."
        )
    lines = [_on_line(side) for side in (source, target)]
    if grid_in is not None and grid_out is not None and lines[0] == lines[1]:
        return
    if grid_in is None and grid_out is None:
        lengths = " and ".join(str(positions_of(*side[:2])[0]) for side in (source, target))
        raise ShapeError(
            f"Sequences of {lengths} tokens cannot meet: expected the same length, since they are pieces of a text, or "
            "it is not known what they lie on; choose layers of equal length, for texts by one tokenizer."
        )
    alone, other = (source, target) if grid_in is None or lines[0] else (target, source)
    raise ShapeError(
        f"A sequence of {positions_of(*alone[:2])[0]} tokens and {other.kind} {other.shape} cannot meet: expected "
        f"tokens on a "
        f"grid of the same aspect after at most {_MOST_PREFIX} prefix tokens; choose a layer behind the pooling."
    )


def _on_line(layout: Layout) -> bool:
    return layout.over == "line" and layout.kind in ("tokens", "sequence")


def _size(grid: tuple[int, ...] | None, line: bool) -> str:
    return "none" if grid is None else f"{grid[1]}" if line else "x".join(map(str, grid))
