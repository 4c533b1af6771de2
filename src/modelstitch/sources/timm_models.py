"""Image classifiers of timm."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import SourceError
from .extras import need
from .image_view import ImageView
from .request import Made, Request, closest


def make(request: Request) -> Made:
    """``timm:NAME``; the model's own size, mean and deviation, or ``size=``.

    Raises:
        SourceError: if there is no such model, or it cannot be made so.
    """
    timm: Any = need("timm")
    base = request.path.split(".")[0]
    if not timm.is_model(base):
        raise SourceError(f"timm has no model {request.path!r}: {closest(base, timm.list_models())}")
    options: dict[str, Any] = {"pretrained": request.pretrained}
    if request.classes is not None:
        options["num_classes"] = request.classes
    if request.size is not None and "img_size" in _takes(timm, base):
        options["img_size"] = request.size
    try:
        module = timm.create_model(request.path, **options)
    except (TypeError, RuntimeError, ValueError, AssertionError) as error:
        raise SourceError(f"timm cannot make {request.path!r} with {options}: {error}.") from error
    config = timm.data.resolve_model_data_config(module)
    channels, height, width = config["input_size"]
    size = (request.size, request.size) if request.size is not None else (height, width)
    view = ImageView(size, tuple(config["mean"]), tuple(config["std"]), config["interpolation"], config["crop_pct"])
    return Made(module, torch.zeros(2, channels, *size), view)


def _takes(timm: Any, base: str) -> set[str]:
    """Vision transformers fix their size when made; convolutional networks take any."""
    fixed = timm.models.is_model_in_modules
    families = {"vision_transformer", "swin_transformer", "swin_transformer_v2", "deit", "beit", "eva", "cait", "xcit",
                "volo", "mlp_mixer", "twins", "convit", "pit", "tnt", "vision_transformer_relpos", "hiera", "naflexvit",
                "vision_transformer_hybrid", "sequencer", "maxxvit", "swin_transformer_v2_cr", "crossvit"}  # fmt: skip
    return {"img_size"} if fixed(base, families) else set()
