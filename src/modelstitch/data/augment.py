"""Random changes of image batches, drawn from a given generator and made for the whole batch at once."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import pad


class CropFlip:
    """Shift every image by up to ``pad`` pixels (zeros come in), and mirror every second one if ``flip``.

    On images (n, channels, height, width). With pad 4 and flip this is the usual augmentation of CIFAR.
    """

    def __init__(self, pad: int, *, flip: bool = False) -> None:
        self.pad, self.flip = pad, flip
        self.recipe = f"random crop after padding by {pad}" + (", random horizontal flip" if flip else "")

    def __call__(self, inputs: Any, generator: torch.Generator) -> Any:
        if isinstance(inputs, list):  # images of several sizes
            return [self(image[None], generator)[0] for image in inputs]
        n, _, height, width = inputs.shape
        shift = torch.randint(0, 2 * self.pad + 1, (2, n, 1), generator=generator)
        rows = torch.arange(height) + shift[0]
        columns = torch.arange(width) + shift[1]
        if self.flip:
            mirrored = torch.rand((n, 1), generator=generator) < 0.5
            columns = torch.where(mirrored, columns.flip(1), columns)
        # Channels last, so that each index fetches one contiguous pixel; the result is an NCHW view of it.
        padded = pad(inputs, (self.pad,) * 4).permute(0, 2, 3, 1).contiguous()
        device = inputs.device
        one = torch.arange(n, device=device)[:, None, None]
        picked = padded[one, rows[:, :, None].to(device), columns[:, None, :].to(device)]
        return picked.permute(0, 3, 1, 2)
