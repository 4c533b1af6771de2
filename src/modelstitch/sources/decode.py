"""Encoded images to uint8 tensors, by Pillow in threads; what does not decode is named and counted."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import DataError

_Array = NDArray[np.uint8]


def decode_all(
    sources: Sequence[bytes | Path | None],
    name: Callable[[int], str],
    *,
    mode: str | None = None,
    size: int | None = None,
    hint: str = "give images of one size",
) -> Tensor:
    """Decode images into one tensor, uint8 (n, channels, height, width).

    Args:
        sources: the encoded bytes, or the files.
        name: how a message calls the i-th one.
        mode: ``L`` (grey) or ``RGB``; the first image's own kind if left out.
        size: resize the shorter side to it and crop the centre; without it all images must have one size.
        hint: what to try where the sizes differ.

    Raises:
        DataError: if images do not decode (the first is named, all are counted) or their sizes differ.
    """
    mode = mode or _mode(sources[0])
    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
        arrays = list(pool.map(lambda source: _decode(source, mode, size), sources, chunksize=64))
    failed = [i for i, array in enumerate(arrays) if isinstance(array, str)]
    if failed:
        raise DataError(
            f"{len(failed)} of {len(arrays)} images do not decode, the first is {name(failed[0])} "
            f"({arrays[failed[0]]}): repair or remove them; none is dropped silently."
        )
    good: list[_Array] = [array for array in arrays if not isinstance(array, str)]
    shapes = {array.shape for array in good}
    if len(shapes) > 1:
        other = next(i for i, array in enumerate(good) if array.shape != good[0].shape)
        raise DataError(
            f"The images have {len(shapes)} sizes ({name(0)} is {_size(good[0])}, "
            f"{name(other)} is {_size(good[other])}): expected one; {hint}."
        )
    stacked = torch.from_numpy(np.stack(good))
    return stacked.unsqueeze(1) if mode == "L" else stacked.permute(0, 3, 1, 2).contiguous()


def undecodable(paths: Sequence[Path]) -> list[Path]:
    """The files whose header is none that Pillow knows; only headers are read."""
    from PIL import Image

    def good(path: Path) -> bool:
        try:
            with Image.open(path):
                return True
        except (OSError, SyntaxError, ValueError):  # what Pillow's readers raise on foreign bytes
            return False

    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
        return [path for path, fine in zip(paths, pool.map(good, paths)) if not fine]


def _decode(source: bytes | Path | None, mode: str, size: int | None) -> _Array | str:
    from PIL import Image

    if source is None:
        return "no bytes"
    try:
        with Image.open(_readable(source)) as file:
            image: Image.Image = file.convert(mode)
            if size is not None:
                scale = size / min(image.size)
                width, height = (max(size, round(side * scale)) for side in image.size)
                image = image.resize((width, height), Image.Resampling.BILINEAR)
                left, upper = (width - size) // 2, (height - size) // 2
                image = image.crop((left, upper, left + size, upper + size))
            return np.asarray(image, dtype=np.uint8)
    # Pillow's plugins raise many kinds of errors on bad bytes; each becomes one counted, named failure.
    except Exception as error:
        return str(error).splitlines()[0] if str(error) else type(error).__name__


def _mode(source: bytes | Path | None) -> str:
    from PIL import Image

    try:
        with Image.open(_readable(source or b"")) as image:
            return "L" if image.mode in ("1", "L", "I;16") else "RGB"
    except Exception:  # decode_all counts and names it
        return "RGB"


def _readable(source: bytes | Path) -> Any:
    return io.BytesIO(source) if isinstance(source, bytes) else source


def _size(array: _Array) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
