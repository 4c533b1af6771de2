"""Raw images as data give them, as the 8-bit pictures that libraries' transforms are written for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError

_SLACK = 1e-4  # beyond [0, 1]: rounding of what made the images


def coloured(images: Tensor, channels: int) -> Tensor:
    """Images (..., c, h, w) with another number of channels: grey repeated, colour weighed as Pillow's mode L does.

    Raises:
        DataError: if they can be brought to it in neither way.
    """
    found = images.shape[-3]
    if found == channels:
        return images
    if found == 1:
        return images.expand(*images.shape[:-3], channels, *images.shape[-2:])
    if channels == 1 and found == 3:
        red, green, blue = images.unbind(-3)
        if images.dtype == torch.uint8:  # in whole numbers, to Pillow's last bit
            mixed = red.int() * 19595 + green.int() * 38470 + blue.int() * 7471 + 0x8000
            return (mixed >> 16).to(torch.uint8).unsqueeze(-3)
        return (0.299 * red + 0.587 * green + 0.114 * blue).unsqueeze(-3)
    raise DataError(f"The network takes {channels} channels, found images with {found}: expected 1 or {channels}.")


def each_image(inputs: Any) -> Sequence[Tensor]:
    """The images of a batch (n, c, h, w), or of a list of images (c, h, w), which may differ in size.

    Raises:
        DataError: if it is neither.
    """
    if isinstance(inputs, Tensor) and inputs.ndim == 4:
        return inputs.unbind(0)
    if isinstance(inputs, list | tuple) and all(isinstance(one, Tensor) and one.ndim == 3 for one in inputs):
        return inputs
    found = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
    raise DataError(f"Images are expected as a tensor (n, channels, height, width): found {found}.")


def as_bytes(inputs: Any) -> list[Tensor]:
    """Each image of a batch as uint8 (c, h, w); floating-point ones in [0, 1] are rounded to 8 bits, as in image files.

    Raises:
        DataError: if they are no images, or hold other values.
    """
    images = list(each_image(inputs))
    for image in images:
        if image.dtype != torch.uint8 and not image.is_floating_point():
            raise DataError(f"The images are of type {image.dtype}: expected uint8, or floating-point ones in [0, 1].")
    return list(map(_bytes, images)) if not isinstance(inputs, Tensor) else list(_bytes(inputs).unbind(0))


def _bytes(images: Tensor) -> Tensor:
    if images.dtype == torch.uint8:
        return images
    if images.numel():
        low, high = (float(v) for v in images.aminmax())
        if not (low >= -_SLACK and high <= 1 + _SLACK):
            raise DataError(
                f"The images hold values from {low:.4g} to {high:.4g}: expected raw ones, in [0, 1] or uint8, since "
                "the network's own preprocessing normalises them; give the data without Normalize(), or the network "
                "view=lambda images: images."
            )
    return images.mul(255).round_().clamp_(0, 255).to(torch.uint8)


def picture(image: Tensor) -> Any:
    """A Pillow image of uint8 (c, h, w): grey, RGB or RGBA.

    Raises:
        DataError: if it has another number of channels.
    """
    from PIL import Image

    array = image.cpu().numpy()
    if len(array) not in (1, 3, 4):
        raise DataError(f"Images of {len(array)} channels make no picture: expected 1, 3 or 4.")
    return Image.fromarray(array[0] if len(array) == 1 else np.ascontiguousarray(array.transpose(1, 2, 0)))


@contextmanager
def as_usual() -> Iterator[None]:
    """Libraries' transforms make tensors of the default type on the default device.

    Float32 on the CPU, whatever is set around.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(before)


def in_threads(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """The function of every item, in order; Pillow works in several threads at once."""
    workers = min(8, os.cpu_count() or 1)
    if workers == 1 or len(items) < 2 * workers:
        return [function(item) for item in items]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, items, chunksize=max(1, len(items) // (4 * workers))))


def stacked(found: Sequence[Tensor], what: str) -> Tensor:
    """Equal images as one batch.

    Raises:
        DataError: if their sizes differ, with two of them.
    """
    sizes = list(dict.fromkeys(tuple(one.shape) for one in found))
    if len(sizes) > 1:
        raise DataError(
            f"{what} gives images of {len(sizes)} sizes, {sizes[0]} and {sizes[1]} among them: expected one; give "
            "images of one size, or a view that crops."
        )
    return torch.stack([one.as_subclass(Tensor) for one in found])
