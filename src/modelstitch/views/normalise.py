"""``Normalise(mean, std)``: the view that most image networks were trained with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import DataError, NetworkError
from .pixels import coloured, each_image

_SMOOTH = ("bilinear", "bicubic")


@dataclass(frozen=True, init=False)
class Normalise:
    """Normalise raw samples channel by channel, (sample - mean) / std; with ``size``, resize images first.

    Raw images are uint8, or floating-point in [0, 1]; uint8 is divided by 255. Grey images are repeated over as many
    channels as ``mean`` has.

    Args:
        mean: a number for each channel, or one for all, in the units of the raw samples ([0, 1] for images).
        std: the same for the standard deviation; above 0.
        size: (height, width), or one number for both: the shorter side is resized to cover it (antialiased), and the
            centre is cropped. An image of that size is left as it is.
        interpolation: "bilinear", "bicubic" or "nearest".

    Raises:
        NetworkError: if the numbers cannot be used.

    Examples:
        >>> ms.Normalise(0.5, 0.25)(torch.ones(1, 1, 2, 2)).unique().item()
        2.0
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: tuple[int, int] | None = None
    interpolation: str = "bilinear"

    def __init__(self, mean: Any, std: Any, size: Any = None, interpolation: str = "bilinear") -> None:
        means, stds = _numbers("mean", mean), _numbers("std", std)
        most = max(len(means), len(stds))
        means, stds = (few * most if len(few) == 1 else few for few in (means, stds))
        if len(means) != len(stds) or not all(s > 0 for s in stds):
            raise NetworkError(
                f"Normalise takes a mean and a std above 0 for each channel, found mean={mean!r:.60} and "
                f"std={std!r:.60}."
            )
        if interpolation not in (*_SMOOTH, "nearest"):
            raise NetworkError(
                f"The interpolation {interpolation!r} is unknown: expected 'bilinear', 'bicubic' or 'nearest'."
            )
        for name, value in (("mean", means), ("std", stds), ("size", _size(size)), ("interpolation", interpolation)):
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        sized = "" if self.size is None else f", size={self.size}, interpolation={self.interpolation!r}"
        return f"Normalise(mean={self.mean}, std={self.std}{sized})"

    def __call__(self, inputs: Any) -> Tensor:
        """The view of a batch (n, channels, ...), or of a list of images (c, h, w) where there is a size.

        Raises:
            DataError: if the samples are no such batch, or have other channels.
        """
        if not isinstance(inputs, Tensor) or self.size is not None:
            inputs = self._resized(inputs)
        images = _scaled(inputs)
        if images.ndim < 2:
            raise DataError(f"Normalise takes a batch (n, channels, ...): found {tuple(images.shape)}.")
        if len(self.mean) > 1 and images.shape[1] != len(self.mean):
            if images.ndim != 4 or images.shape[1] != 1:
                raise DataError(
                    f"The network takes {len(self.mean)} channels, found images with {images.shape[1]}: expected 1 "
                    f"or {len(self.mean)}."
                )
            images = coloured(images, len(self.mean))
        self._check_units(images)
        shape = (1, -1, *[1] * (images.ndim - 2))
        mean, std = (images.new_tensor(numbers).view(shape) for numbers in (self.mean, self.std))
        return (images - mean) / std

    def describe(self) -> dict[str, Any]:
        """Say what a record states about the view.

        Returns:
            Plain values by name.

        Examples:
            >>> ms.Normalise([0.5], [0.25]).describe()["mean"]
            [0.5]
        """
        return {
            "view": "normalise",
            "mean": list(self.mean),
            "std": list(self.std),
            "size": self.size and list(self.size),
            "interpolation": self.interpolation,
        }

    def _check_units(self, images: Tensor) -> None:
        """Refuse numbers made for pixels in [0, 255] where the images are in [0, 1]."""
        if images.ndim != 4 or not images.numel() or (max(map(abs, self.mean)) <= 1 and max(self.std) <= 2):
            return
        low, high = (float(found) for found in images.aminmax())
        if low >= 0 and high <= 1:
            raise DataError(
                f"The mean {self.mean} and the std {self.std} belong to pixels in [0, 255], the images are in [0, 1]: "
                "expected both in their units; divide mean and std by 255."
            )

    def _resized(self, inputs: Any) -> Tensor:
        images = each_image(inputs)
        if isinstance(inputs, Tensor):
            return self._cut(_scaled(inputs))
        if self.size is None and len({tuple(image.shape) for image in images}) > 1:
            raise DataError("The images have several sizes: expected one, or Normalise(mean, std, size=224).")
        return torch.cat([self._cut(_scaled(image[None])) for image in images])

    def _cut(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        if self.size is None or (height, width) == self.size:
            return images
        scale = max(self.size[0] / height, self.size[1] / width)
        target = (max(self.size[0], round(height * scale)), max(self.size[1], round(width * scale)))
        if target != (height, width):
            images = F.interpolate(images, target, mode=self.interpolation, antialias=self.interpolation in _SMOOTH)
            if self.interpolation == "bicubic":
                images = images.clamp(0, 1)  # cubic weights overshoot; image files cannot
        top, left = (target[0] - self.size[0]) // 2, (target[1] - self.size[1]) // 2
        return images[:, :, top : top + self.size[0], left : left + self.size[1]]


def _scaled(inputs: Tensor) -> Tensor:
    if inputs.dtype == torch.uint8:
        return inputs.float() / 255
    if not inputs.is_floating_point():
        raise DataError(f"The samples are of type {inputs.dtype}: expected uint8, or floating-point numbers.")
    return inputs


def _numbers(name: str, given: Any) -> tuple[float, ...]:
    try:
        found = tuple(float(v) for v in torch.as_tensor(given, dtype=torch.float64).flatten())
    except (TypeError, ValueError, RuntimeError):
        found = ()
    if not found or not all(map(math.isfinite, found)):
        raise NetworkError(f"The {name} {given!r:.60} cannot be used: expected a number for each channel.")
    return found


def _size(given: Any) -> tuple[int, int] | None:
    if given is None:
        return None
    pair = (given, given) if isinstance(given, int) else tuple(given) if isinstance(given, list | tuple) else ()
    if len(pair) != 2 or not all(isinstance(v, int) and v > 0 for v in pair):
        raise NetworkError(f"The size {given!r:.60} cannot be used: expected (height, width), or one number for both.")
    return pair
