"""Image classifiers of torchvision."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import SourceError
from .extras import need
from .image_view import ImageView
from .request import Made, Request, closest


def make(request: Request) -> Made:
    """``torchvision:NAME``; the preprocessing of its published weights, or ``size=``.

    Raises:
        SourceError: if there is no such model, or it cannot be made so.
    """
    models: Any = need("torchvision.models")
    known = models.list_models(module=models)
    if request.path not in known:
        raise SourceError(f"torchvision has no classifier {request.path!r}: {closest(request.path, known)}")
    published = models.get_model_weights(request.path).DEFAULT
    options: dict[str, Any] = {}
    if request.classes is not None:
        options["num_classes"] = request.classes
    if request.path in ("googlenet", "inception_v3"):
        options |= {"init_weights": True, "aux_logits": request.pretrained or request.weights is not None}
    recipe = published.transforms()
    side = int(recipe.crop_size[0]) if request.size is None else request.size
    if request.size is not None and request.path.startswith("vit_"):
        options["image_size"] = side  # learnt positions: the size is fixed when it is made
    try:
        module = models.get_model(request.path, weights=published if request.pretrained else None, **options)
    except (TypeError, RuntimeError, ValueError) as error:
        raise SourceError(f"torchvision cannot make {request.path!r} with {options}: {error}.") from error
    crop = int(recipe.crop_size[0]) / int(recipe.resize_size[0])
    view = ImageView((side, side), tuple(recipe.mean), tuple(recipe.std), recipe.interpolation.value, crop)
    return Made(module, torch.zeros(2, 3, side, side), view)
