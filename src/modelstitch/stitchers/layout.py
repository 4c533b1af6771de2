"""Where the channels of an activation are, by kind, and the parameter-free adapters between two layers.

Adapters come before the map, so that any layer can face any layer: resize a map, map <-> tokens, prefix tokens
(class, distillation, register), pooled vectors. They have no parameters; a record states them in words.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ShapeError
from ..network import Layer

_MOST_PREFIX = 8
KINDS = ("map", "grid", "tokens", "vector")


def rows(x: Tensor, kind: str, mask: Tensor | None = None) -> Tensor:
    """All positions of a batch as rows: (n, channels); of padded sequences only those that hold a token.

    Shapes in: map (b, c, h, w), grid (b, h, w, c), tokens (b, t, c), vector (b, c); mask bool (b, t).
    """
    if mask is not None and masks(mask, x, kind):
        return x[mask.to(x.device)]
    if kind == "map":
        x = x.movedim(1, -1)
    return x.reshape(-1, x.shape[-1])


def masks(mask: Tensor, x: Tensor, kind: str) -> bool:
    """Whether a mask (b, t) is about the positions of an activation: tokens, as many as the mask has.

    Tokens of another number (latents, pooled ones) are not those of the text, and none of them is padding.
    """
    return kind == "tokens" and x.shape[:2] == mask.shape


class Adapter(nn.Module):
    """Brings an activation of one shape to the positions of another; channels stay.

    Args:
        source: kind and shape of the bottom's activation, e.g. ("map", (64, 8, 8)).
        target: the same for the activation the top expects.

    Raises:
        ShapeError: if no parameter-free step joins the two.
    """

    def __init__(self, source: tuple[str, tuple[int, ...]], target: tuple[str, tuple[int, ...]]) -> None:
        super().__init__()
        self.source, self.target = source, target
        for kind, shape in (source, target):
            if kind not in KINDS:
                raise ShapeError(
                    f"An activation of shape {shape} cannot be stitched: expected a map, tokens (channels last) or a "
                    "vector with the batch first, found none of them; choose another layer."
                )
        self.grid_in, self.prefix_in = _grid(*source, beside=target)
        self.grid_out, self.prefix_out = _grid(*target, beside=source)
        self.plain = source[0] == target[0] and _positions(*source) == _positions(*target)
        if not self.plain and "vector" not in (source[0], target[0]):
            _meet(source, self.grid_in, target, self.grid_out)

    def describe(self) -> str:
        """What the adapter does, in words; "none" if nothing."""
        if self.plain:
            return "none"
        steps = []
        (kind_in, shape_in), (kind_out, shape_out) = self.source, self.target
        if kind_out == "vector":
            return f"mean over the positions of {kind_in} {shape_in}"
        if kind_in == "vector":
            return f"vector repeated at every position of {kind_out} {shape_out}"
        if kind_in != kind_out:
            steps.append(f"{kind_in} to {kind_out}")
        if self.grid_in != self.grid_out:
            steps.append(f"resize {_size(self.grid_in)} to {_size(self.grid_out)} (area down, bilinear up)")
        if self.prefix_in != self.prefix_out:
            steps.append(f"prefix tokens {self.prefix_in} to {self.prefix_out} (missing ones: mean of the positions)")
        return ", ".join(steps) or "none"

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(b, positions of the source, c in the source's layout) -> the same channels in the target's layout.

        A mean over the tokens of padded sequences leaves out what ``mask``, bool (b, t), does not mark.
        """
        if self.plain:
            return x
        (kind_in, _), (kind_out, shape_out) = self.source, self.target
        if kind_out == "vector":
            if mask is not None and masks(mask, x, kind_in):
                return masked_mean(x, mask)
            return x if kind_in == "vector" else x.flatten(2).mean(2) if kind_in == "map" else x.flatten(1, -2).mean(1)
        if kind_in == "vector":
            return _spread(x, kind_out, shape_out)
        prefix, grid = self._split(x, kind_in)
        assert grid is not None
        assert self.grid_out is not None
        return self._join(prefix, resize(grid, self.grid_out), kind_out)

    def _split(self, x: Tensor, kind: str) -> tuple[Tensor | None, Tensor | None]:
        """Prefix tokens (b, k, c) and the grid as a map (b, c, h, w)."""
        if kind == "map":
            return None, x
        if kind == "grid":
            return None, x.movedim(-1, 1)
        if self.grid_in is None:
            return x, None
        prefix, rest = x[:, : self.prefix_in], x[:, self.prefix_in :]
        return (prefix if self.prefix_in else None), rest.transpose(1, 2).reshape(len(x), x.shape[2], *self.grid_in)

    def _join(self, prefix: Tensor | None, grid: Tensor, kind: str) -> Tensor:
        if kind == "map":
            return grid
        if kind == "grid":
            return grid.movedim(1, -1)
        tokens = grid.flatten(2).transpose(1, 2)
        if not self.prefix_out:
            return tokens
        mean = tokens.mean(1, keepdim=True)
        found = [] if prefix is None else [prefix[:, i : i + 1] for i in range(min(self.prefix_in, self.prefix_out))]
        missing = [found[0] if found else mean] * (self.prefix_out - len(found))
        return torch.cat([*found, *missing, tokens], 1)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean of x (b, t, c) over the tokens that mask (b, t) marks: (b, c)."""
    marked = mask.to(x.device)[..., None]
    total = torch.where(marked, x, 0).sum(1)  # where, not a product: what padding holds may be NaN
    return total / marked.sum(1).clamp(min=1)


def adapter_between(bottom: Layer, top: Layer) -> Adapter:
    """The adapter from a bottom's layer to a top's layer.

    Raises:
        ShapeError: if the two shapes cannot meet; both layers are named.
    """
    try:
        return Adapter((bottom.kind, bottom.shape), (top.kind, top.shape))
    except ShapeError as error:
        raise ShapeError(f"The layers {bottom.name!r} and {top.name!r} cannot be joined: {error}") from error


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """A map (b, c, h, w) at another size: area averaging where it shrinks, bilinear where it grows."""
    if tuple(x.shape[-2:]) == size:
        return x
    if x.shape[-2] >= size[0] and x.shape[-1] >= size[1]:
        return F.adaptive_avg_pool2d(x, size)
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def _spread(x: Tensor, kind: str, shape: tuple[int, ...]) -> Tensor:
    if kind == "map":
        return x[:, :, None, None].expand(-1, -1, shape[1], shape[2])
    if kind == "grid":
        return x[:, None, None, :].expand(-1, shape[0], shape[1], -1)
    return x[:, None, :].expand(-1, shape[0], -1)


def _grid(
    kind: str, shape: tuple[int, ...], *, beside: tuple[str, tuple[int, ...]]
) -> tuple[tuple[int, int] | None, int]:
    """The (height, width) of the positions and the number of prefix tokens before them.

    Tokens lie on a grid of the aspect of the map beside them (square beside none), after at most a few prefix
    tokens; any other length is a sequence.
    """
    if kind == "map":
        return (shape[1], shape[2]), 0
    if kind == "grid":
        return (shape[0], shape[1]), 0
    if kind == "tokens":
        height, width = _grid(*beside, beside=("vector", ()))[0] or (1, 1) if beside[0] in ("map", "grid") else (1, 1)
        for prefix in range(min(_MOST_PREFIX, shape[0] - 4) + 1):
            area = shape[0] - prefix
            tall = math.isqrt(area * height // width)
            if tall and area % tall == 0 and tall * width == (area // tall) * height and prefix < area:
                return (tall, area // tall), prefix
    return None, 0


def _meet(
    source: tuple[str, tuple[int, ...]],
    grid_in: tuple[int, int] | None,
    target: tuple[str, tuple[int, ...]],
    grid_out: tuple[int, int] | None,
) -> None:
    """Refuse two sequences of different lengths, and a sequence beside a map."""
    if grid_in is None and grid_out is None:
        raise ShapeError(
            f"Sequences of {source[1][0]} and {target[1][0]} tokens cannot meet: expected the same length, since "
            "their tokens lie on no grid; use the same tokenizer and length for both networks."
        )
    if grid_in is None or grid_out is None:
        length, (kind, shape) = (source[1][0], target) if grid_in is None else (target[1][0], source)
        raise ShapeError(
            f"A sequence of {length} tokens and {kind} {shape} cannot meet: expected tokens on a grid of the same "
            f"aspect after at most {_MOST_PREFIX} prefix tokens; choose a layer behind the pooling."
        )


def _positions(kind: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[1:] if kind == "map" else shape[:-1]


def _size(grid: tuple[int, int] | None) -> str:
    return "none" if grid is None else f"{grid[0]}x{grid[1]}"
