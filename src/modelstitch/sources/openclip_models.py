"""Image towers of CLIP models, from open_clip."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import SourceError
from .extras import need
from .image_view import ImageView
from .request import Made, Request, closest


def make(request: Request) -> Made:
    """``openclip:NAME``: the image tower, images -> embeddings.

    Raises:
        SourceError: if there is no such model, or it cannot be made so.
    """
    clip: Any = need("open_clip")
    known = clip.list_models()
    if request.path not in known:
        raise SourceError(f"open_clip has no model {request.path!r}: {closest(request.path, known)}")
    if request.classes is not None:
        raise SourceError("An image tower has no classes: leave classes= out; zero-shot heads come with the data.")
    options: dict[str, Any] = {} if request.size is None else {"force_image_size": request.size}
    tag = request.options.pop("pretrained_tag", None)
    if request.pretrained and tag is None:
        tags = clip.list_pretrained_tags_by_model(request.path)
        tag = tags[0] if tags else None
    try:
        whole = clip.create_model(request.path, pretrained=tag, load_weights=tag is not None, **options)
    except (RuntimeError, ValueError, TypeError) as error:
        raise SourceError(f"open_clip cannot make {request.path!r}: {error}.") from error
    tower = whole.visual
    size = tower.image_size
    size = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    settings = getattr(tower, "preprocess_cfg", None) or {}
    mean = tuple(settings.get("mean") or clip.OPENAI_DATASET_MEAN)
    std = tuple(settings.get("std") or clip.OPENAI_DATASET_STD)
    view = ImageView(size, mean, std, settings.get("interpolation") or "bicubic")
    return Made(tower, torch.zeros(2, 3, *size), view, whole=whole)
