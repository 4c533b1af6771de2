"""What a user gives as ``view=``, as a function of a batch; and views as plain values, for what is kept in files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..errors import NetworkError
from ..support.user_code import in_words
from .normalise import Normalise
from .per_sample import PerSample, check_fixed, is_per_sample
from .published import LIBRARIES, Published, from_processor, published

_EXPECTED = (
    "expected Normalise(mean, std), a transform of torchvision or timm, an image processor of transformers, or a "
    "function of a batch (n, ...)"
)


def as_view(given: Any) -> Callable[[Any], Any]:
    """A function of a batch of raw samples, out of what was given as ``view=``.

    Args:
        given: a function of a batch, which is left as it is; a transform of torchvision or timm, which takes single
            images; an image processor of transformers.

    Raises:
        NetworkError: if it is none of these, or draws at random.
    """
    bases = [base.__module__ for base in type(given).__mro__]
    if any(module.startswith("transformers.") for module in bases):
        return _of_transformers(given)
    if is_per_sample(given):
        return PerSample(given)
    if not callable(given):
        raise NetworkError(f"The view is of type {type(given).__name__}: {_EXPECTED}{_hint(given)}.")
    check_fixed(given)
    function: Callable[[Any], Any] = given
    return function


def normalising(view: Any, shape: tuple[int, ...]) -> Any:
    """A ``Normalise`` without a size, with that of the images (c, h, w) that a network takes; any other view as it is.

    Raises:
        NetworkError: if it is for other channels than the network takes.
    """
    if not isinstance(view, Normalise):
        return view
    if len(view.mean) > 1 and shape and len(view.mean) != shape[0]:
        raise NetworkError(
            f"The network takes {shape[0]} channels, the mean has {len(view.mean)} numbers: expected {shape[0]}, or "
            f"one for all."
        )
    if len(shape) != 3 or view.size is not None:
        return view
    one = len(view.mean) == 1
    return replace(
        view,
        mean=view.mean * (shape[0] if one else 1),
        std=view.std * (shape[0] if one else 1),
        size=(shape[1], shape[2]),
    )


def in_short(view: Any) -> str:
    """A view in words for a reader: its own where it has some, else its name and a hash of its code."""
    return str(view) if isinstance(view, PerSample) or hasattr(view, "describe") else in_words(view)


def _of_transformers(given: Any) -> Callable[[Any], Any]:
    processor = getattr(given, "image_processor", given)  # of a processor of images and texts, the part for images
    bases = [base.__name__ for base in type(processor).__mro__]
    if not hasattr(processor, "to_dict") or "ImageProcessingMixin" not in bases:
        raise NetworkError(
            f"The view is {type(given).__name__}, which prepares no images: {_EXPECTED}; texts are tokenised in the "
            "data, with load_data('text:FILE', tokenizer=...)."
        )
    return from_processor(processor)


def _hint(given: Any) -> str:
    if isinstance(given, tuple | list) and len(given) == 2:
        return "; for a mean and a std write Normalise(mean, std)"
    if isinstance(given, Mapping):
        return "; of a data config of timm write timm.data.create_transform(**config)"
    if hasattr(given, "transforms"):
        return "; of published weights of torchvision write weights.transforms()"
    return ""


def plain_view(view: Any) -> dict[str, Any] | None:
    """All that makes a view, as values of JSON; None where it is code."""
    if type(view) is Normalise:
        return view.describe()
    if type(view) is Published:
        return {
            "view": "published",
            "library": view.library,
            "settings": json.loads(view.settings),
            "channels": view.channels,
        }
    return None


def view_of_plain(values: Mapping[str, Any]) -> Callable[[Any], Any]:
    """The view that ``plain_view`` described.

    Raises:
        NetworkError: the values are none, or the library refuses them.
    """
    try:
        if values["view"] == "normalise":
            return Normalise(values["mean"], values["std"], values["size"], values["interpolation"])
        if values["view"] == "published" and values["library"] in LIBRARIES:
            return published(values["library"], dict(values["settings"]), int(values["channels"]))
    except NetworkError:
        raise
    except Exception as error:  # whatever a library raises on settings it does not know, or where it is not installed
        raise NetworkError(
            f"The view {str(dict(values))[:120]} cannot be made ({type(error).__name__}: {error})."
        ) from error
    raise NetworkError(f"The view {str(dict(values))[:120]} is unknown: expected 'normalise' or 'published'.")
