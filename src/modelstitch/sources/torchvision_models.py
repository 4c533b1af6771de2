"""Image classifiers of torchvision."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import SourceError
from ..views import published
from .extras import need
from .request import Made, Request, closest


def make(request: Request) -> Made:
    """``torchvision:NAME``; seen through its published weights' own transform, or at ``size=``, where no border is cut off.

    Raises:
        SourceError: if there is no such model, or it cannot be made so.
    """
    models: Any = need("torchvision.models")
    known = models.list_models(module=models)
    if request.path not in known:
        raise SourceError(f"torchvision has no classifier {request.path!r}: {closest(request.path, known)}")
    weights = models.get_model_weights(request.path).DEFAULT
    options: dict[str, Any] = {}
    if request.classes is not None:
        options["num_classes"] = request.classes
    if request.path in ("googlenet", "inception_v3"):
        options |= {"init_weights": True, "aux_logits": request.pretrained or request.weights is not None}
    recipe = weights.transforms()
    side = int(recipe.crop_size[0]) if request.size is None else request.size
    if request.size is not None and request.path.startswith("vit_"):
        options["image_size"] = side  # learnt positions: the size is fixed when it is made
    try:
        module = models.get_model(request.path, weights=weights if request.pretrained else None, **options)
    except (TypeError, RuntimeError, ValueError) as error:
        raise SourceError(f"torchvision cannot make {request.path!r} with {options}: {error}.") from error
    return Made(module, torch.zeros(2, 3, side, side), published("torchvision", _seen(weights, request.size)))


def _seen(weights: Any, size: int | None) -> dict[str, Any]:
    """What the transform of published weights takes, at another size where that is asked for."""
    recipe = weights.transforms()
    crop, resized = (int(side[0]) if size is None else size for side in (recipe.crop_size, recipe.resize_size))
    return {
        "weights": str(weights), "resize_size": resized, "crop_size": crop, "mean": recipe.mean, "std": recipe.std,
        "interpolation": recipe.interpolation.value, "antialias": recipe.antialias,
    }  # fmt: skip
