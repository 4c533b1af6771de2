"""How a network wants to see its samples: resize, crop, channels and normalisation, as one function of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import DataError


@dataclass(frozen=True)
class ImageView:
    """Images (n, c, h, w), float in [0, 1] or uint8, of any size -> (n, channels, *size), normalised; no parameters.

    The shorter side is resized (antialiased) and the middle is cut out. Grey images are repeated over the channels;
    colour is averaged where a network takes one channel.

    Attributes:
        size: (height, width) that the network takes.
        mean, std: of each channel.
        interpolation: "bilinear", "bicubic" or "nearest".
        crop: the share of the resized image that is kept; used only on images larger than ``size``, since on small
            ones (CIFAR) it would cut away what is there to see.
    """

    size: tuple[int, int]
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    interpolation: str = "bilinear"
    crop: float = 1.0

    def __call__(self, images: Tensor) -> Tensor:
        """The view of a batch.

        Raises:
            DataError: if the batch is not a batch of images, or its channels cannot be brought to the network's.
        """
        if not isinstance(images, Tensor) or images.ndim != 4:
            found = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
            raise DataError(f"Images are expected as a tensor (n, channels, height, width): found {found}.")
        if images.dtype == torch.uint8:
            images = images.float() / 255
        images = self._resized(self._coloured(images))
        shape = (1, len(self.mean), 1, 1)
        mean = images.new_tensor(self.mean).view(shape)
        return (images - mean) / images.new_tensor(self.std).view(shape)

    def describe(self) -> dict[str, Any]:
        """What a record states about the view."""
        return {
            "view": "image",
            "size": list(self.size),
            "mean": list(self.mean),
            "std": list(self.std),
            "interpolation": self.interpolation,
            "crop": self.crop,
        }

    def _coloured(self, images: Tensor) -> Tensor:
        found, wanted = images.shape[1], len(self.mean)
        if found == wanted:
            return images
        if found == 1:
            return images.expand(-1, wanted, -1, -1)
        if wanted == 1:
            return images.mean(1, keepdim=True)
        raise DataError(f"The network takes {wanted} channels, found images with {found}: expected 1 or {wanted}.")

    def _resized(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        if (height, width) == self.size:
            return images
        scale = max(self.size[0] / height, self.size[1] / width)
        if scale < 1:
            scale /= self.crop
        target = (max(self.size[0], round(height * scale)), max(self.size[1], round(width * scale)))
        if target != (height, width):
            smooth = self.interpolation in ("bilinear", "bicubic")
            images = F.interpolate(images, target, mode=self.interpolation, antialias=smooth)
            if self.interpolation == "bicubic":
                images = images.clamp(0, 1)  # cubic weights overshoot; image files cannot
        top, left = (target[0] - self.size[0]) // 2, (target[1] - self.size[1]) // 2
        return images[:, :, top : top + self.size[0], left : left + self.size[1]]
