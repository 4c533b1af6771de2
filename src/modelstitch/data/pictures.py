"""Samples as a page can show them: small PNG images, inside the page itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .data import Data

_MOST = 96  # pixels a side: larger ones are reduced


def pictures(data: Data, ids: Sequence[int]) -> dict[int, str]:
    """Give test samples as ``data:`` addresses of PNG images.

    Args:
        data: whose samples they are.
        ids: their places in the test split.

    Returns:
        An address a sample; none where samples are no images of 1 or 3 channels.

    Examples:
        >>> from modelstitch.data.pictures import pictures
        >>> pictures(data, [3])[3][:22]
        'data:image/png;base64,'
    """
    if not ids:
        return {}
    inputs = data.chosen("test", torch.tensor(list(ids))).inputs
    if not isinstance(inputs, Tensor) or inputs.ndim != 4 or inputs.shape[1] not in (1, 3):
        return {}
    return dict(zip(ids, map(_address, _bytes(inputs.detach().cpu()))))


def _bytes(images: Tensor) -> Tensor:
    """Images as they would be seen, uint8: values from 0 to 1 as they are, others from their least to their largest."""
    if images.dtype == torch.uint8:
        return images
    values = images.float()
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 1:
        values = (values - low) / max(high - low, 1e-12)
    return (values * 255).round().to(torch.uint8)


def _address(image: Tensor) -> str:
    from PIL import Image

    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    shown = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    shown.thumbnail((_MOST, _MOST))
    content = io.BytesIO()
    shown.save(content, "PNG")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
