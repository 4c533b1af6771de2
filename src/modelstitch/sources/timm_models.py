"""Image classifiers of timm."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import SourceError
from ..views import published
from .extras import need
from .request import Made, Request, closest


def make(request: Request) -> Made:
    """``timm:NAME``; seen through timm's own evaluation transform, or at ``size=``, where no border is cut off; ``?classes=0`` has
    no head.

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
    config = _seen(timm, module, request.size)
    view = published("timm", config, config["input_size"][0])
    return Made(module, torch.zeros(2, *config["input_size"]), view, head=request.classes != 0)


def _seen(timm: Any, module: Any, size: int | None) -> dict[str, Any]:
    """What timm's transform takes: the published settings, those for the published test size where that is asked for."""
    config: dict[str, Any] = timm.data.resolve_model_data_config(module)
    channels = config["input_size"][0]
    if size is None or config["input_size"] == (channels, size, size):
        return config
    tested: dict[str, Any] = timm.data.resolve_model_data_config(module, use_test_size=True)
    if tested["input_size"] == (channels, size, size):
        return tested
    return config | {"input_size": (channels, size, size), "crop_pct": 1.0}


def _takes(timm: Any, base: str) -> set[str]:
    """Vision transformers fix their size when made; convolutional networks take any."""
    fixed = timm.models.is_model_in_modules
    families = {"vision_transformer", "swin_transformer", "swin_transformer_v2", "deit", "beit", "eva", "cait", "xcit",
                "volo", "mlp_mixer", "twins", "convit", "pit", "tnt", "vision_transformer_relpos", "hiera", "naflexvit",
                "vision_transformer_hybrid", "sequencer", "maxxvit", "swin_transformer_v2_cr", "crossvit"}  # fmt: skip
    return {"img_size"} if fixed(base, families) else set()
