"""Image towers of CLIP models, from open_clip, with class names as a zero-shot classifier where the data have names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from ...errors import SourceError, first_line
from ...support.downloads import hub_hint, hub_host, obtained, quiet
from ...support.optional import need
from ...views import published
from ..request import RANDOM_ONES, Made, Request, StateDict, check_options, closest
from ..zeroshot import OpenClipTower, zero_shot


def make(request: Request) -> Made:
    """``openclip:NAME?prompt=a+photo+of+a+{}``: images -> scores of the class names, or embeddings without names.

    Raises:
        SourceError: if there is no such model, it cannot be made so, or its published weights cannot be had.
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
    tag = request.options.pop("tag", None)
    check_options(request)
    if request.published:
        whole, origin = _published(clip, request, tag, options)
    else:
        origin = ""
        try:
            with quiet("open_clip", None):
                whole = clip.create_model(request.path, load_weights=False, pretrained_text=False, **options)
        except (RuntimeError, ValueError, TypeError, OSError) as error:
            raise SourceError(f"open_clip cannot make {request.path!r}: {error}.") from error
    size = whole.visual.image_size
    size = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    settings = dict(whole.visual.preprocess_cfg) | _agreed(clip, request.path, tag) | {"size": size}
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

    return Made(
        whole.visual,
        torch.zeros(2, 3, *size),
        view,
        whole=whole,
        finish=finish,
        renamed=_renamed(clip, whole),
        origin=origin,
    )


def _published(clip: Any, request: Request, tag: str | None, options: dict[str, Any]) -> tuple[Any, str]:
    """The model with published weights, and where they come from; of several a tag chooses."""
    tags = clip.list_pretrained_tags_by_model(request.path)
    if tag is None and len(tags) == 1:
        tag = tags[0]
    if tag not in tags:
        known = ", ".join(tags) or "none at all"
        asked = f"no weights {tag!r} for" if tag else f"{len(tags)} weights for" if tags else "no weights for"
        raise SourceError(
            f"open_clip publishes {asked} {request.path!r}: expected one of {known}; name it with "
            f"openclip:{request.path}?tag=NAME, give a file with weights=FILE, or {RANDOM_ONES}."
        )
    stated = clip.get_pretrained_cfg(request.path, tag)
    quick = bool(stated.get("quick_gelu", False)), bool(clip.get_model_config(request.path).get("quick_gelu", False))
    if quick[0] != quick[1]:
        other = f"{request.path}-quickgelu" if quick[0] else request.path.removesuffix("-quickgelu")
        raise SourceError(
            f"The weights {tag!r} of open_clip were trained with {'QuickGELU' if quick[0] else 'GELU'}, which "
            f"{request.path!r} does not compute: expected openclip:{other}?tag={tag}."
        )
    source = str(stated.get("hf_hub") or stated.get("url")).rstrip("/")
    with quiet("open_clip", None):
        whole = obtained(
            lambda: clip.create_model(request.path, pretrained=tag, require_pretrained=True, **options),
            seed=request.seed,
            published=request.published,
            what=f"the published weights of open_clip {request.path} {tag}",
            host=hub_host() if stated.get("hf_hub") else urlparse(source).netloc,
            offline=hub_hint(source) if stated.get("hf_hub") else f"download {source} elsewhere",
        )
    return whole, f"open_clip {request.path} {tag}"


def _renamed(clip: Any, whole: Any) -> Callable[[StateDict], StateDict]:
    """open_clip converts files of OpenAI and others as it loads them."""

    def renamed(state: StateDict) -> StateDict:
        found: StateDict = clip.factory.convert_state_dict(whole, dict(state))
        for name in ("logit_scale", "logit_bias"):
            held = getattr(whole, name, None)
            if name in found and held is not None:
                found[name] = found[name].reshape(held.shape)
        if "positional_embedding" in found and not hasattr(whole, "positional_embedding"):
            found = clip.factory.convert_to_custom_text_state_dict(found)
        for name in ("input_resolution", "context_length", "vocab_size", "text.transformer.embeddings.position_ids"):
            found.pop(name, None)
        return found

    return renamed


def _agreed(clip: Any, name: str, tag: str | None) -> dict[str, Any]:
    """The preprocessing of published weights.

    Without a tag what all of a model's have in common, for weights of another origin.
    """
    known = [
        clip.get_pretrained_cfg(name, one) for one in clip.list_pretrained_tags_by_model(name) if tag in (None, one)
    ]
    keys = ("mean", "std", "interpolation", "resize_mode")
    said = {tuple((key, tag[key]) for key in keys if tag.get(key) is not None) for tag in known}
    return dict(said.pop()) if len(said) == 1 else {}


def _tokenizer(clip: Any, name: str) -> Any:
    try:
        return clip.get_tokenizer(name)
    except Exception as error:  # some models name a tokenizer of a hub: whatever its client raises without a network
        raise SourceError(
            f"The tokenizer of openclip:{name} cannot be had ({first_line(error)}): expected one that open_clip itself "
            "holds; download it first, or choose a model such as ViT-B-32."
        ) from error
