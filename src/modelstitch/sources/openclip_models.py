"""Image towers of CLIP models, from open_clip, with class names as a zero-shot classifier where the data have names."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..errors import SourceError
from ..views import published
from .extras import need
from .request import Made, Request, closest
from .zeroshot import OpenClipTower, zero_shot


def make(request: Request) -> Made:
    """``openclip:NAME?prompt=a+photo+of+a+{}``: images -> scores of the class names, or embeddings without names.

    Raises:
        SourceError: if there is no such model, or it cannot be made so.
    """
    clip: Any = need("open_clip")
    known = clip.list_models()
    if request.path not in known:
        raise SourceError(f"open_clip has no model {request.path!r}: {closest(request.path, known)}")
    if request.classes is not None:
        raise SourceError(
            "An image tower has no classes: leave classes= out; its classes are class_names= or the data's."
        )
    options: dict[str, Any] = {} if request.size is None else {"force_image_size": request.size}
    if request.meta:
        options["device"] = "meta"  # else the tower is moved to the CPU, which a tensor without memory cannot
    prompt = request.options.pop("prompt", None)
    tag = request.options.pop("pretrained_tag", None)
    if request.pretrained and tag is None:
        tags = clip.list_pretrained_tags_by_model(request.path)
        tag = tags[0] if tags else None
    try:
        whole = clip.create_model(request.path, pretrained=tag, load_weights=tag is not None, **options)
    except (RuntimeError, ValueError, TypeError) as error:
        raise SourceError(f"open_clip cannot make {request.path!r}: {error}.") from error
    size = whole.visual.image_size
    size = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    settings = (
        dict(whole.visual.preprocess_cfg) | ({} if tag is not None else _agreed(clip, request.path)) | {"size": size}
    )
    view = published("open_clip", settings)

    def finish() -> nn.Module:
        if request.class_names is None or request.meta:
            return OpenClipTower(whole.visual)
        whole.eval()

        def embed(texts: list[str]) -> Tensor:
            embeddings: Tensor = whole.encode_text(_tokenizer(clip, request.path)(texts))
            return embeddings

        head = zero_shot(embed, request.class_names, prompt, whole.logit_scale.exp(), request.spec)
        return OpenClipTower(whole.visual, head)

    return Made(whole.visual, torch.zeros(2, 3, *size), view, whole=whole, finish=finish)


def _agreed(clip: Any, name: str) -> dict[str, Any]:
    """The preprocessing that all published weights of a model have in common, for weights of another origin."""
    known = [clip.get_pretrained_cfg(name, tag) for tag in clip.list_pretrained_tags_by_model(name)]
    keys = ("mean", "std", "interpolation", "resize_mode")
    said = {tuple((key, tag[key]) for key in keys if tag.get(key) is not None) for tag in known}
    return dict(said.pop()) if len(said) == 1 else {}


def _tokenizer(clip: Any, name: str) -> Any:
    try:
        return clip.get_tokenizer(name)
    except Exception as error:  # some models name a tokenizer of a hub: whatever its client raises without a network
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise SourceError(
            f"The tokenizer of openclip:{name} cannot be had ({line}): expected one that open_clip itself holds; download it "
            "first, or choose a model such as ViT-B-32."
        ) from error
