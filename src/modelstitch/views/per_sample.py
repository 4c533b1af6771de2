"""A transform of single images, as torchvision and timm write them, as a view of batches."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import DataError, NetworkError, first_line
from ..support.user_code import used
from .pixels import as_bytes, as_usual, coloured, each_image, in_threads, picture, stacked

_FROM = ("torchvision.transforms", "timm.data")
_RANDOM = re.compile(r"Rand|Jitter|AutoAug|TrivialAug|AugMix|MixUp|CutMix|Elastic|^Augment")


@dataclass(frozen=True)
class PerSample:
    """A transform that takes one image and gives one tensor, applied to every image of a batch.

    An image is handed over as what the transform takes: a Pillow image, else a uint8 tensor, else a float tensor in [0,
    1], each (c, h, w); a grey one that is taken in none of these forms as RGB.

    Attributes:
        transform: of torchvision (v1, v2) or timm, deterministic.

    Raises:
        NetworkError: if a part of it is random.
    """

    transform: Any

    def __post_init__(self) -> None:
        check_fixed(self.transform)

    def __repr__(self) -> str:
        return f"PerSample({' '.join(repr(self.transform).split())})"

    def __call__(self, inputs: Any) -> Tensor:
        """The view of a batch (n, c, h, w), or of a list of images (c, h, w) of any sizes.

        Raises:
            DataError: if they are no images, or the transform takes none of the forms of an image.
        """
        images = each_image(inputs)
        with as_usual():
            form, first = self._form(images[0])
            rest = in_threads(lambda image: self.transform(form(image)), images[1:])
        return stacked([first, *rest], "The view").to(images[0].device)

    def _form(self, image: Tensor) -> tuple[Callable[[Tensor], Any], Tensor]:
        """In which form the transform takes an image, and what it makes of it."""
        said = []
        for name, form in _forms(image.shape[0]).items():
            try:
                found = self.transform(form(image))
            except DataError:  # of the image itself
                raise
            except Exception as error:  # whatever a transform raises on a form that it does not take
                said.append(f"{name}: {type(error).__name__} {first_line(error)}")
                continue
            if isinstance(found, Tensor) and found.is_floating_point():
                return form, found
            kind = f"a tensor of {found.dtype}" if isinstance(found, Tensor) else type(found).__name__
            said.append(f"{name}: it returns {kind}")
        raise DataError(
            f"The transform given as view= makes no floating-point tensor of an image ({'; '.join(said)}): expected "
            f"one such as "
            "Compose([ToTensor(), Normalize(mean, std)]); try it on one image, or give a function of a whole batch."
        )


def check_fixed(view: Any) -> None:
    """Refuse a view that is, holds or uses a transform that draws at random, as far as libraries' names tell.

    Raises:
        NetworkError: naming the transform.
    """
    for part in _parts(view):
        if is_random(part):
            raise NetworkError(
                f"The view draws at random ({type(part).__name__}): expected the same view of a sample at every read; "
                "give the transform of the evaluation here, and a random one as augment= of the data."
            )


def is_per_sample(view: Any) -> bool:
    """Whether a view is a transform of torchvision or timm, or a chain of such: they are written for single images."""
    if isinstance(view, nn.Sequential):
        return len(view) > 0 and all(is_per_sample(part) for part in view)
    return any(base.__module__.startswith(_FROM) for base in type(view).__mro__)


def is_random(part: Any) -> bool:
    """Whether a transform draws at random, as its library's names say."""
    name = type(part).__name__
    if name == "GaussianNoise":
        return True
    if name == "GaussianBlur":  # its sigma may be a range
        return len(set(part.sigma)) > 1
    return is_per_sample(part) and _RANDOM.search(name) is not None


def _parts(transform: Any, depth: int = 0) -> Iterator[Any]:
    """A transform and all that it is made of."""
    yield transform
    if depth > 8:
        return
    if isinstance(transform, FunctionType):
        held = used(transform)
    elif isinstance(transform, MethodType):
        held = [transform.__self__]
    elif isinstance(transform, partial):
        held = [transform.func, *transform.args, *transform.keywords.values()]
    else:
        held = list(vars(transform).values()) if hasattr(transform, "__dict__") else []
    for value in held:
        inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else [value]
        for part in inner:
            if isinstance(part, nn.Module) or is_per_sample(part) or isinstance(transform, MethodType | partial):
                yield from _parts(part, depth + 1)


def _forms(channels: int) -> dict[str, Callable[[Tensor], Any]]:
    def eight(image: Tensor) -> Tensor:
        return as_bytes([image])[0]

    def real(image: Tensor) -> Tensor:
        return (image.float() / 255 if image.dtype == torch.uint8 else image).cpu()

    forms: dict[str, Callable[[Tensor], Any]] = {
        "a Pillow image": lambda image: picture(eight(image)),
        "a uint8 tensor": lambda image: eight(image).cpu(),
        "a float tensor": real,
    }
    if channels not in (1, 3, 4):
        del forms["a Pillow image"]
    if channels == 1:
        forms |= {
            f"{name} in RGB": (lambda image, form=form: form(coloured(image, 3)))  # type: ignore[misc]
            for name, form in list(forms.items())
        }
    return forms
