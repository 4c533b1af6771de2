"""Random views of image batches for learning without labels; made for the whole batch at once."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample


class DigitViews:
    """Views that keep a digit what it is: small warps, contrast, noise, a small erased patch.

    On images (n, channels, 8, 8) in [0, 1], or larger ones in proportion.
    """

    recipe = "rotation to 20 degrees, zoom 0.8-1.2, shear 0.2, shift to 1/8, contrast, noise 0.08, erased patch"

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Two calls on the same inputs (n, c, h, w) give two views of each."""
        n, _, height, width = inputs.shape
        draw = _Draw(n, generator, inputs.device)
        angle = draw(-math.radians(20), math.radians(20))
        zoom, shear = draw(0.8, 1.2), draw(-0.2, 0.2)
        cos, sin = zoom * angle.cos(), zoom * angle.sin()
        # A shift of 1/8 of the side is 1/4 in grid_sample's units, where the image spans -1 to 1.
        rows = [cos, shear - sin, draw(-0.25, 0.25), sin, cos, draw(-0.25, 0.25)]
        out = _warp(inputs, torch.stack(rows, 1).view(n, 2, 3))
        out = out * draw(0.7, 1.3).view(n, 1, 1, 1)
        out = out + 0.08 * draw.normal(out.shape)
        return (out * ~_patch(draw, height, width, height // 4)).clamp(0, 1)


class ColourViews:
    """The views of SimCLR (Chen et al. 2020) for small colour images: crop, mirror, colour jitter, grey.

    On images (n, 3, h, w) in [0, 1]. Hue is turned as an angle in the plane of equal luminance.
    """

    recipe = "random resized crop 0.2-1, flip, colour jitter 0.4 (p 0.8), grey (p 0.2)"

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Two calls on the same inputs (n, 3, h, w) give two views of each."""
        draw = _Draw(len(inputs), generator, inputs.device)
        return self._colour(_cropped(inputs, draw, 0.2), draw)

    def _colour(self, images: Tensor, draw: _Draw) -> Tensor:
        n = len(images)

        def each(value: Tensor) -> Tensor:
            return value.view(n, 1, 1, 1)

        weights = torch.tensor([0.299, 0.587, 0.114], device=images.device).view(1, 3, 1, 1)
        jittered = _jittered(images, draw)
        grey = (jittered * weights).sum(1, keepdim=True)
        colour = (jittered - grey) * each(draw(0.6, 1.4))
        jittered = grey + torch.einsum("nij,njhw->nihw", _turn(draw(-0.1, 0.1) * 2 * math.pi), colour)
        out = torch.where(each(draw(0, 1) < 0.8), jittered, images)
        grey = (out * weights).sum(1, keepdim=True).expand_as(out)
        return torch.where(each(draw(0, 1) < 0.2), grey, out).clamp(0, 1)


class GreyViews:
    """Views for small grey photographs on a dark ground: crop, mirror, brightness and contrast, blur, an erased patch.

    On images (n, channels, h, w) in [0, 1]. What tells such things apart is shape, so crops are larger than those of
    colour images, whose colours tell much of them.
    """

    recipe = "random resized crop 0.3-1, flip, brightness and contrast 0.4 (p 0.8), blur (p 0.5), erased patch (p 0.5)"

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Two calls on the same inputs (n, c, h, w) give two views of each."""
        n, _, height, width = inputs.shape
        draw = _Draw(n, generator, inputs.device)

        def some(share: float, changed: Tensor, images: Tensor) -> Tensor:
            return torch.where((draw(0, 1) < share).view(n, 1, 1, 1), changed, images)

        out = _cropped(inputs, draw, 0.3)
        out = some(0.8, _jittered(out, draw), out)
        out = some(0.5, torch.lerp(out, _blurred(out), draw(0, 1).view(n, 1, 1, 1)), out)
        return (out * ~_patch(draw, height, width, height // 3)).clamp(0, 1)


Views = DigitViews | ColourViews | GreyViews
VIEWS: dict[str, Callable[[], Views]] = {"digits": DigitViews, "colour": ColourViews, "grey": GreyViews}


def quarter_turns(inputs: Tensor, turns: Tensor) -> Tensor:
    """Turn image i of (n, c, s, s) by ``turns[i]`` quarter circles."""
    out = inputs.clone()
    for turn in (1, 2, 3):
        chosen = turns == turn
        out[chosen] = torch.rot90(inputs[chosen], turn, (2, 3))
    return out


class _Draw:
    """Uniform and normal draws, one for each image, from a private generator on the CPU."""

    def __init__(self, n: int, generator: torch.Generator, device: torch.device) -> None:
        self.n, self.generator, self.device = n, generator, device

    def __call__(self, low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand(self.n, generator=self.generator)).to(self.device)

    def normal(self, shape: torch.Size) -> Tensor:
        return torch.randn(shape, generator=self.generator).to(self.device)


def _warp(inputs: Tensor, matrix: Tensor) -> Tensor:
    grid = affine_grid(matrix, list(inputs.shape), align_corners=False)
    return grid_sample(inputs, grid, align_corners=False, padding_mode="zeros")


def _cropped(inputs: Tensor, draw: _Draw, least: float) -> Tensor:
    """A random part of each image, from a share ``least`` of its area to all of it, at full size; half are mirrored."""
    n = len(inputs)
    side, ratio = draw(least, 1).sqrt(), draw(math.log(3 / 4), math.log(4 / 3)).exp().sqrt()
    wide, high = (side * ratio).clamp(max=1), (side / ratio).clamp(max=1)
    left, up = draw(-1, 1) * (1 - wide), draw(-1, 1) * (1 - high)
    mirror = torch.where(draw(0, 1) < 0.5, -1.0, 1.0)
    zero = torch.zeros_like(wide)
    return _warp(inputs, torch.stack([wide * mirror, zero, left, zero, high, up], 1).view(n, 2, 3))


def _jittered(images: Tensor, draw: _Draw) -> Tensor:
    """Brightness, then contrast about the mean, each changed by up to 40 %."""
    jittered = images * draw(0.6, 1.4).view(-1, 1, 1, 1)
    mean = jittered.mean((1, 2, 3), keepdim=True)
    return mean + (jittered - mean) * draw(0.6, 1.4).view(-1, 1, 1, 1)


def _blurred(images: Tensor) -> Tensor:
    """The mean of each pixel and its eight neighbours; of those that there are."""
    return avg_pool2d(images, 3, 1, 1, count_include_pad=False)


def _patch(draw: _Draw, height: int, width: int, side: int) -> Tensor:
    """A mask (n, 1, height, width), true on one square of ``side`` pixels in half of the images."""

    def within(position: Tensor, length: int) -> Tensor:
        place = torch.arange(length, device=draw.device)
        return (place >= position[:, None]) & (place < position[:, None] + side)

    rows = within(draw(0, height - side + 1).floor(), height)
    columns = within(draw(0, width - side + 1).floor(), width)
    chosen = (draw(0, 1) < 0.5).view(-1, 1, 1, 1)
    return rows[:, None, :, None] & columns[:, None, None, :] & chosen


def _turn(angle: Tensor) -> Tensor:
    """Rotations (n, 3, 3) about the grey axis, by Rodrigues' formula."""
    axis = torch.full((3,), 1 / math.sqrt(3), device=angle.device)
    zero = torch.zeros((), device=angle.device)
    x, y, z = axis
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).view(3, 3)
    one = torch.eye(3, device=angle.device)
    cos, sin = angle.cos().view(-1, 1, 1), angle.sin().view(-1, 1, 1)
    return cos * one + sin * cross + (1 - cos) * torch.outer(axis, axis)
