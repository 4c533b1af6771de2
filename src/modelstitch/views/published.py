"""The preprocessing that a library publishes with a network.

The library's own code does it, from settings kept as text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

from torch import Tensor

from ..errors import DataError, NetworkError, first_line
from .pixels import as_bytes, as_usual, coloured, in_threads, picture, stacked

_TYPE = "image_processor_class"


@dataclass(frozen=True)
class Published:
    """Raw images as a library's own evaluation transform gives them to its network.

    Attributes:
        library: "timm", "torchvision", "open_clip" or "transformers".
        settings: all that the library needs to make the transform, as JSON.
        channels: of the network; grey images are repeated, colour is made grey, as Pillow does.
    """

    library: str
    settings: str
    channels: int = 3

    def __repr__(self) -> str:
        said = ", ".join(f"{key}={value!r}" for key, value in json.loads(self.settings).items() if value is not None)
        return f"the own preprocessing of {self.library} ({said})"

    def __call__(self, inputs: Any) -> Tensor:
        """The view of a batch (n, c, h, w), uint8 or in [0, 1], or of a list of images (c, h, w) of any sizes.

        Raises:
            DataError: if they are no raw images, or the library gives them several sizes.
        """
        images = [coloured(image, self.channels) for image in as_bytes(inputs)]
        with as_usual():
            if self.library == "transformers":
                return self._processed(images)
            found = in_threads(lambda image: self._transform(picture(image)), images)
        return stacked(found, f"The preprocessing of {self.library}").to(images[0].device)

    def describe(self) -> dict[str, Any]:
        """What a record states about the view."""
        return {"view": self.library, "channels": self.channels, **json.loads(self.settings)}

    def __getstate__(self) -> dict[str, Any]:
        return {"library": self.library, "settings": self.settings, "channels": self.channels}

    @cached_property
    def _transform(self) -> Callable[..., Any]:
        with as_usual():
            return _MAKERS[self.library](json.loads(self.settings))

    def _processed(self, images: list[Tensor]) -> Tensor:
        tensors = getattr(self._transform, "backend", "pil") == "torchvision"
        handed = {"input_data_format": "channels_first"} if tensors else {}
        try:
            found = self._transform(
                images=[image.cpu().contiguous() if tensors else picture(image) for image in images],
                return_tensors="pt",
                **handed,
            )
        except (ValueError, TypeError, RuntimeError, AssertionError, AttributeError) as error:
            raise DataError(
                f"The image processor {type(self._transform).__name__} refuses images of {tuple(images[0].shape)} "
                f"({first_line(error)}): expected images that it brings to one size; check its settings."
            ) from error
        keys = [key for key in found if key != "pixel_values"]
        if keys or "pixel_values" not in found:
            raise NetworkError(
                f"The image processor {type(self._transform).__name__} gives {', '.join(found)}: expected pixel_values "
                "alone; give Network() a view= of your own that returns what its forward takes."
            )
        values: Tensor = found["pixel_values"]
        return values.to(images[0].device)


def published(library: str, settings: Mapping[str, Any], channels: int = 3) -> Published:
    """The view of a library's settings, made once, so that what cannot be made is told at once."""
    view = Published(library, json.dumps(dict(settings), sort_keys=True, default=_plain), channels)
    _ = view._transform
    return view


def from_processor(processor: Any, channels: int | None = None) -> Published:
    """The view of an image processor of transformers.

    Raises:
        NetworkError: if its settings ask for a step that it does not do, which it keeps in silence.
    """
    if type(processor).__name__ == "TimmWrapperImageProcessor":  # which calls timm's transform by its settings
        return published("timm", processor.data_config, processor.data_config["input_size"][0])
    settings = {key: value for key, value in processor.to_dict().items() if key not in ("processor_class", "auto_map")}
    strange = [key for key in settings if _asks(key, settings[key]) and not _does(type(processor), key)]
    if strange:
        raise NetworkError(
            f"The settings of {type(processor).__name__} ask for {', '.join(strange)}, which it does not do: expected "
            "its own settings; check image_processor_type, or give Network() a view= of your own."
        )
    settings[_TYPE] = type(processor).__name__
    mean = settings.get("image_mean")
    return published("transformers", settings, channels or (len(mean) if isinstance(mean, list | tuple) else 3))


def _asks(key: str, value: Any) -> bool:
    """Whether a setting asks for a step that changes pixels."""
    return (key.startswith("do_") or key in ("rescale_offset", "crop_pct", "include_top")) and bool(value)


def _does(kind: type, key: str) -> bool:
    """Whether a class of image processors knows a setting: as an option of its calls, or by an attribute of its own."""
    return key in getattr(getattr(kind, "valid_kwargs", None), "__annotations__", {}) or hasattr(kind, key)


def _timm(settings: dict[str, Any]) -> Callable[..., Any]:
    made: Callable[..., Any] = import_module("timm.data").create_transform(**settings, is_training=False)
    return made


def _torchvision(settings: dict[str, Any]) -> Callable[..., Any]:
    weights = import_module("torchvision.models").get_weight(settings.pop("weights"))
    modes = import_module("torchvision.transforms").InterpolationMode
    made: Callable[..., Any] = weights.transforms(**settings | {"interpolation": modes(settings["interpolation"])})
    return made


def _open_clip(settings: dict[str, Any]) -> Callable[..., Any]:
    clip = import_module("open_clip.transform")
    made: Callable[..., Any] = clip.image_transform_v2(clip.PreprocessCfg(**settings), is_train=False)
    return made


def _transformers(settings: dict[str, Any]) -> Callable[..., Any]:
    name = str(settings.pop(_TYPE))
    kind: Any = getattr(import_module("transformers"), name, None) if "ImageProcessor" in name else None
    if not any(base.__name__ == "ImageProcessingMixin" for base in getattr(kind, "__mro__", ())):
        raise NetworkError(
            "The image processor is none of transformers' own: expected one that transformers itself holds."
        )
    made: Callable[..., Any] = kind.from_dict(settings)
    return made


_MAKERS: dict[str, Callable[[dict[str, Any]], Callable[..., Any]]] = {
    "timm": _timm,
    "torchvision": _torchvision,
    "open_clip": _open_clip,
    "transformers": _transformers,
}
LIBRARIES = frozenset(_MAKERS)


def _plain(value: Any) -> Any:
    """Numbers of arrays and tensors, sizes and enumerations, as JSON knows them."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping) or hasattr(value, "keys"):
        return dict(value)
    return value.value if hasattr(value, "value") else str(value)
