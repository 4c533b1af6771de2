"""Encoded images to tensors, by Pillow in threads.

One kind for a whole set, and what cannot be taken is named and counted.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import DataError, first_line

if TYPE_CHECKING:
    from PIL import Image as Pillow

OWN_SIZE = 0  # what is asked for where each image keeps its own
MOST_PIXELS = 89_478_485  # of one image; Pillow's own threshold for a decompression bomb
# Readers that only decode: that of EPS starts another program.
_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
_PLAIN = {
    "1": True,
    "L": True,
    "P": False,
    "RGB": False,
    "RGBX": False,
    "CMYK": False,
    "YCbCr": False,
    "HSV": False,
    "LAB": False,
}
_SEEN_THROUGH = {"LA": True, "La": True, "PA": False, "RGBA": False, "RGBa": False}  # mode: whether it is grey
_BACKGROUNDS = {"white": 255, "black": 0}
_ORIENTATION = 0x0112
_DARK = 0.13  # 13 bits in a 16-bit file

Source = bytes | Path | None
_Pixels = NDArray[Any]


@dataclass(frozen=True)
class ImageOptions:
    """What is asked of images: the options behind ``?`` in the name of a folder.

    Attributes:
        size: the shorter side is resized to it, the centre cropped; ``OWN_SIZE`` (``any``) keeps each image's own, for
            networks whose views bring them to one; without it all images must have one size.
        mode: ``RGB`` or ``L``; without it grey where all images are grey.
        background: the grey value, 0 to 255, behind see-through pixels; without it these are refused.
    """

    size: int | None = None
    mode: str | None = None
    background: int | None = None

    @classmethod
    def parse(cls, spec: str) -> tuple[str, ImageOptions]:
        """The folder and the options of ``DIR?size=224&mode=RGB&background=white``.

        Raises:
            DataError: naming the first option that is not known.
        """
        folder, _, query = spec.partition("?")
        found: dict[str, Any] = {}
        for option in filter(None, query.split("&")):
            key, _, value = option.partition("=")
            if key == "size" and value.isdecimal() and int(value) > 0:
                found[key] = int(value)
            elif (key, value) == ("size", "any"):
                found[key] = OWN_SIZE
            elif key == "mode" and value in ("RGB", "L"):
                found[key] = value
            elif key == "background" and value in _BACKGROUNDS:
                found[key] = _BACKGROUNDS[value]
            else:
                raise DataError(
                    f"The folder option {option!r} is not known: expected 'size=' and a number of pixels or 'any', "
                    "'mode=RGB' or 'mode=L', 'background=white' or 'background=black'."
                )
        return folder, cls(**found)


@dataclass(frozen=True)
class ImageKind:
    """What all images of a set become.

    One channel or three, uint8 or (where one is deeper than 8 bits) float32 in [0, 1].
    """

    grey: bool
    deep: bool

    @classmethod
    def joined(cls, kinds: Iterable[ImageKind], asked: ImageOptions) -> ImageKind:
        """The kind that loses nothing of any of these, unless a mode is asked for."""
        found = list(kinds)
        grey = all(kind.grey for kind in found) if asked.mode is None else asked.mode == "L"
        return cls(grey, any(kind.deep for kind in found))


class Refused(Exception):
    """Why an image that Pillow reads cannot be taken as it is."""


def kind_of(
    sources: Sequence[Source], name: Callable[[int], str], asked: ImageOptions, *, broken: str = "images do not decode"
) -> ImageKind:
    """Look at every image, and tell what all of them become. Headers are read.

    Only float and see-through images are decoded.

    Args:
        sources: the encoded bytes, or the files.
        name: how a message calls the i-th one.
        broken: how a message says that some cannot be read.

    Raises:
        DataError: if images cannot be read, or cannot be taken as they are (the first is named, all are counted).
    """
    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
        found = list(pool.map(lambda source: _look(source, asked), sources, chunksize=64))
    _refuse([(i, one) for i, one in enumerate(found) if not isinstance(one, ImageKind)], len(found), name, broken)
    return ImageKind.joined((one for one in found if isinstance(one, ImageKind)), asked)


def decode_all(
    sources: Sequence[Source],
    name: Callable[[int], str],
    kind: ImageKind,
    asked: ImageOptions,
    *,
    hint: str = "give images of one size, or add '?size=224' to the folder's name to resize and crop them, "
    "'?size=any' to leave that to the networks' views",
) -> Tensor | list[Tensor]:
    """Decode images into one tensor (n, channels, height, width), uint8 or float32 in [0, 1] as ``kind`` tells.

    Where each keeps its own size it is a list of (channels, height, width), unless these are equal.

    Args:
        sources, name: as for ``kind_of``.
        hint: what to try where the sizes differ.

    Raises:
        DataError: if images do not decode (the first is named, all are counted) or their sizes differ.
    """
    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
        arrays = list(pool.map(lambda source: _decode(source, kind, asked), sources, chunksize=64))
    failed = [(i, array) for i, array in enumerate(arrays) if not isinstance(array, np.ndarray)]
    _refuse(failed, len(arrays), name, "images do not decode")
    good: list[_Pixels] = [array for array in arrays if isinstance(array, np.ndarray)]
    shapes = {array.shape for array in good}
    if len(shapes) <= 1:
        stacked = torch.from_numpy(np.stack(good))
        return stacked.unsqueeze(1) if kind.grey else stacked.permute(0, 3, 1, 2).contiguous()
    if asked.size == OWN_SIZE:
        planes = (array[None] if kind.grey else array.transpose(2, 0, 1) for array in good)
        return [torch.from_numpy(np.ascontiguousarray(array)) for array in planes]
    other = next(i for i, array in enumerate(good) if array.shape != good[0].shape)
    raise DataError(
        f"The images have {len(shapes)} sizes ({name(0)} is {_size(good[0])}, "
        f"{name(other)} is {_size(good[other])}): expected one; {hint}."
    )


def numbers_of(sources: Sequence[Source], name: Callable[[int], str]) -> list[_Pixels]:
    """Decode masks: the numbers in their pixels, (height, width), as they are stored.

    Args:
        sources, name: as for ``kind_of``.

    Raises:
        DataError: if masks do not decode, or hold colours (the first is named, all are counted).
    """
    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
        arrays = list(pool.map(_stored, sources, chunksize=64))
    failed = [(i, array) for i, array in enumerate(arrays) if not isinstance(array, np.ndarray)]
    _refuse(failed, len(arrays), name, "masks do not decode")
    return [array for array in arrays if isinstance(array, np.ndarray)]


def _stored(source: Source) -> _Pixels | Exception:
    try:
        with _opened(source) as image:
            _check_frames(image)
            if image.mode not in ("1", "L", "P", "I", "I;16"):
                raise Refused(
                    f"is a mask of colours (mode {image.mode}): expected one number for each pixel, its class; save it "
                    "with one channel"
                )
            return np.asarray(image).astype(np.int64)
    except Exception as error:
        return error


def dark(*images: Tensor) -> list[str]:
    """A note where images deeper than 8 bits use a small part of their range, as 12-bit values in 16-bit files do."""
    most = max((float(image.max()) for image in images if image.is_floating_point()), default=1.0)
    if not 0 < most < _DARK:
        return []
    return [
        f"the brightest pixel of images deeper than 8 bits is {most:.4f} of their range ({round(most * 65535):,} of "
        f"65,535): if their "
        "values have fewer bits, networks see them nearly black; scale them when they are saved, or in a view"
    ]


def pixels(image: Pillow.Image, kind: ImageKind, asked: ImageOptions) -> _Pixels:
    """One image as (height, width) or (height, width, 3), turned upright, resized and cropped.

    Raises:
        Refused: with the reason.
    """
    image = _upright(image)
    levels = _levels(image)
    if kind.deep:
        return _to_deep(image, levels, kind, asked)
    if levels is not None:
        raise Refused("is deeper than 8 bits, unlike the set when it was looked at: load the data anew")
    image = _flat(image, asked).convert("L" if kind.grey else "RGB")
    return np.asarray(_fitted(image, asked.size), dtype=np.uint8)


def _look(source: Source, asked: ImageOptions) -> ImageKind | Exception:
    try:
        with _opened(source) as image:
            _check_frames(image)
            if image.mode == "F" or _transparent(image):
                upright = _upright(image)
                levels = _levels(upright)
                if levels is None:
                    _flat(upright, asked)
                return ImageKind(_is_grey(image), levels is not None)
            if image.mode == "I" or image.mode.startswith("I;"):
                _depth(image)
                return ImageKind(True, True)
            return ImageKind(_is_grey(image), False)
    # Pillow's readers raise many kinds of errors on foreign bytes; each becomes one counted, named failure.
    except Exception as error:
        return error


def _decode(source: Source, kind: ImageKind, asked: ImageOptions) -> _Pixels | Exception:
    try:
        with _opened(source) as image:
            return pixels(image, kind, asked)
    except Exception as error:
        return error


def _refuse(failed: list[tuple[int, Any]], total: int, name: Callable[[int], str], broken: str) -> None:
    unread = [(i, error) for i, error in failed if not isinstance(error, Refused)]
    if unread:
        i, error = unread[0]
        raise DataError(
            f"{len(unread)} of {total} {broken}, the first is {name(i)} ({first_line(error)}): repair or "
            "remove them; none is dropped silently."
        )
    if failed:
        i, error = failed[0]
        more = f" ({len(failed)} of {total} images cannot be taken)" if len(failed) > 1 else ""
        raise DataError(f"The image {name(i)} {error}{more}.")


@cache
def _formats() -> tuple[str, ...]:
    from PIL import Image

    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _opened(source: Source) -> Pillow.ImageFile.ImageFile:  # type: ignore[name-defined]
    from PIL import Image

    if source is None:
        raise ValueError("no bytes")
    if not isinstance(source, bytes) and not S_ISREG(os.stat(source).st_mode):
        raise ValueError("no file, but a pipe or a device")
    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)  # the latter where warnings are errors
    try:
        image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=_formats())
    except bombs as error:
        raise Refused(_too_large(str(error).split("(")[-1].split(" pixels")[0])) from error
    width, height = image.size
    if width * height > MOST_PIXELS:
        image.close()
        raise Refused(_too_large(f"{width}x{height}"))
    return image


def _too_large(found: str) -> str:
    return f"has {found} pixels: expected at most {MOST_PIXELS:,}; shrink it, or remove it"


def _check_frames(image: Any) -> None:
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # further pictures of an MPO are previews
    if frames > 1:
        raise Refused(f"holds {frames} frames: expected one image; save the frame that is meant as a file of its own")


def _is_grey(image: Pillow.Image) -> bool:
    mode = image.mode
    if mode in _PLAIN:
        return _PLAIN[mode]
    if mode in _SEEN_THROUGH:
        return _SEEN_THROUGH[mode]
    if mode in ("I", "F") or mode.startswith("I;16"):
        return True
    raise Refused(f"has pixels of the kind {mode!r}, which is not known: save it as RGB or grey")


def _transparent(image: Pillow.Image) -> bool:
    return image.mode in _SEEN_THROUGH or "transparency" in image.info


def _depth(image: Any) -> int:
    """The largest value of an image of whole numbers deeper than 8 bits."""
    if image.mode.startswith("I;16"):
        bits = image.tag_v2.get(258, (16,)) if image.format == "TIFF" else (16,)  # 12 bits come as they are
        return int(2 ** (bits[0] if isinstance(bits, tuple) else bits) - 1)
    if image.mode == "I" and image.format in ("PNG", "PPM"):  # how some versions of Pillow hand out 16 bits
        return 65535
    raise Refused(
        "holds whole numbers of more than 16 bits, or with a sign, which have no agreed range: expected 8 or 16 bits, "
        "or floats in [0, 1]; scale it and save it so"
    )


def _levels(image: Any) -> _Pixels | None:
    """The pixels (height, width) of an image deeper than 8 bits, float32 in [0, 1]; None of any other."""
    mode = image.mode
    if mode == "F":
        found = np.asarray(image, dtype=np.float32)
        low, high = float(found.min()), float(found.max())
        if not (low >= 0 and high <= 1):  # NaN, too
            raise Refused(f"holds floats from {low:g} to {high:g}: expected 0 to 1; scale them and save it so")
        return found
    if mode != "I" and not mode.startswith("I;16"):
        return None
    most, key = _depth(image), image.info.get("transparency")
    whole = np.asarray(image).astype(np.float32)
    if key is not None and bool((whole == key).any()):
        raise Refused("is see-through in places, at 16 bits: expected an opaque image; fill them and save it so")
    found = whole / np.float32(most)
    inverted = image.format == "TIFF" and image.tag_v2.get(262) == 0  # Pillow inverts 8 bits alone
    return (1 - found).astype(np.float32) if inverted else found


def _to_deep(image: Pillow.Image, levels: _Pixels | None, kind: ImageKind, asked: ImageOptions) -> _Pixels:
    from PIL import Image

    if levels is not None:
        found: _Pixels = np.asarray(_fitted(Image.fromarray(levels), asked.size), dtype=np.float32)
        return found if kind.grey else np.repeat(found[..., None], 3, axis=2)
    shallow = _flat(image, asked).convert("L" if kind.grey else "RGB")
    return np.asarray(_fitted(shallow, asked.size), dtype=np.float32) / np.float32(255)


def _upright(image: Any) -> Any:
    """The decoded image, turned as its EXIF says."""
    from PIL import ImageOps

    format_, tags = image.format, getattr(image, "tag_v2", None)
    image.load()  # a TIFF is turned by its reader, here
    try:
        turned = image.getexif().get(_ORIENTATION, 1) not in (1, None)
    except Exception:  # notes beside an image may be broken, which leaves it as it is
        turned = False
    if not turned:
        return image
    found: Any = ImageOps.exif_transpose(image)
    found.format = format_
    if tags is not None:
        found.tag_v2 = tags
    return found


def _flat(image: Pillow.Image, asked: ImageOptions) -> Pillow.Image:
    """The image without its transparency: opaque, or laid on the background that is asked for."""
    from PIL import Image

    if not _transparent(image):
        return image
    grey = image.mode in ("1", "L", "LA", "La")
    if image.mode in ("La", "RGBa"):
        image = image.convert(image.mode.upper())
    laid = image.convert("RGBA")
    if int(np.asarray(laid.getchannel("A")).min()) < 255:
        if asked.background is None:
            raise Refused(
                f"is see-through in places (mode {image.mode}): expected opaque images; lay them on one colour with "
                "'?background=white' or '?background=black' behind the folder's name"
            )
        laid = Image.alpha_composite(Image.new("RGBA", laid.size, (asked.background,) * 3 + (255,)), laid)
    return laid.getchannel("R") if grey else laid.convert("RGB")


def _fitted(image: Pillow.Image, size: int | None) -> Pillow.Image:
    """The shorter side resized to ``size``, the centre cut out."""
    from PIL import Image

    if size is None or size == OWN_SIZE:
        return image
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    if width * height > MOST_PIXELS:
        raise Refused(
            f"is so narrow that it would have {width}x{height} pixels: expected at most {MOST_PIXELS:,}; cut it"
        )
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, upper = (width - size) // 2, (height - size) // 2
    return image.crop((left, upper, left + size, upper + size))


def _size(array: _Pixels) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
