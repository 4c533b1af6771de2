"""Hugging Face models from a local folder: a config with random weights, or a folder with weights. No remote code."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import SourceError
from .extras import need
from .image_view import ImageView
from .request import Made, Request
from .token_view import TokenView
from .tokenizer import LENGTH, Tokenizer, holds_tokenizer
from .zeroshot import HFTower, zero_shot

TASKS = {
    "causal-lm": "AutoModelForCausalLM",
    "masked-lm": "AutoModelForMaskedLM",
    "text-classification": "AutoModelForSequenceClassification",
    "image-classification": "AutoModelForImageClassification",
    "zero-shot-image-classification": "AutoModelForZeroShotImageClassification",
}
_RESAMPLE = {0: "nearest", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers


def make(request: Request) -> Made:
    """``hf:FOLDER?task=causal-lm``: the task is read from the config's architecture where it is not given.

    Raises:
        SourceError: if the folder holds no config, the task is unknown, the model needs code of its own, its weights do
            not fill it, or a text is longer than it has positions.
    """
    folder = Path(request.path)
    plain = _json(folder / "config.json")
    if plain is None:
        raise SourceError(
            f"{request.spec!r} cannot be read: expected a local folder with config.json; download the model first, for "
            "example with `hf download`."
        )
    if "auto_map" in plain:
        raise SourceError(
            f"{request.spec!r} needs trust_remote_code: refused; use a model that transformers itself holds."
        )
    transformers: Any = need("transformers")
    task = request.options.pop("task", None) or _task(plain, request.spec)
    if task not in TASKS:
        raise SourceError(f"The task {task!r} is unknown: expected one of {', '.join(TASKS)}.")
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        module = _module(getattr(transformers, TASKS[task]), folder, config, request)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise SourceError(
            f"transformers cannot make {request.spec!r} for {task} ({line}): check folder and task."
        ) from error
    if "image" in task:
        return _image(request, folder, config, module, task)
    length = request.size or _asked(request) or LENGTH
    longest = _positions(config)
    if longest is not None and length > longest:
        raise SourceError(
            f"{request.spec!r} has {longest} positions, the texts have {length} tokens: expected no more; shorten them with "
            f"'?length={longest}' of the data or '?size={longest}' of the model."
        )
    ids = torch.ones(2, length, dtype=torch.int64)
    names = ("input_ids", "attention_mask")
    tokenizer = Tokenizer.load(folder) if holds_tokenizer(folder) else None
    view = TokenView(names, task, tokenizer, length)
    example = dict(zip(names, (ids, torch.ones_like(ids))))
    return Made(module, example, view, data="input_ids", renamed=_renamed(module, config))


def _module(auto: Any, folder: Path, config: Any, request: Request) -> nn.Module:
    if request.classes is not None:
        config.num_labels = request.classes
    if not any(folder.glob("*.safetensors")) or request.weights is not None or request.meta:
        fresh: nn.Module = auto.from_config(config)
        return fresh
    with _quiet():
        module, told = auto.from_pretrained(
            folder, config=config, local_files_only=True, trust_remote_code=False, use_safetensors=True,
            output_loading_info=True, dtype=torch.float32,
        )  # fmt: skip
    missing = sorted(told["missing_keys"])
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise SourceError(
            f"The weights of {request.spec!r} leave {len(missing)} parameters random ({', '.join(missing[:3])}{more}): "
            "expected all of them; choose the task that they were trained for with ?task=."
        )
    loaded: nn.Module = module
    return loaded


def _renamed(module: Any, config: Any) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    """transformers keeps files under the names of earlier versions, and renames tensors as it loads them."""

    def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
        try:
            with _quiet():
                twin, told = type(module).from_pretrained(
                    None, config=config, state_dict=dict(state), output_loading_info=True, dtype=torch.float32
                )
        except RuntimeError:  # shapes that differ: the caller lists them
            return state
        if any(told[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")):
            return state
        found: dict[str, Tensor] = twin.state_dict()
        return found

    return renamed


@contextmanager
def _quiet() -> Iterator[None]:
    """No bars and no lists of unused weights while transformers loads: what matters is told in errors."""
    logging: Any = need("transformers").utils.logging
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _image(request: Request, folder: Path, config: Any, module: Any, task: str) -> Made:
    inner = getattr(config, "vision_config", config)
    size = request.size or int(getattr(inner, "image_size", 224))
    channels = int(getattr(inner, "num_channels", 3))
    view = _image_view(folder, size, channels)
    example = torch.zeros(2, channels, size, size)
    if task == "image-classification":
        return Made(module, example, view, renamed=_renamed(module, config))
    prompt = request.options.pop("prompt", None)
    if not hasattr(module, "vision_model") or not hasattr(module, "get_text_features"):
        raise SourceError(
            f"{request.spec!r} has no image and text tower side by side: expected a CLIP or SigLIP model."
        )

    def finish() -> nn.Module:
        if request.class_names is None or request.meta:
            return HFTower(module)
        module.eval()
        tokenizer = Tokenizer.load(folder)

        def embed(texts: list[str]) -> Tensor:
            found = module.get_text_features(**tokenizer.batch(texts, int(config.text_config.max_position_embeddings)))
            embeddings: Tensor = found if isinstance(found, Tensor) else found.pooler_output
            return embeddings

        return HFTower(module, zero_shot(embed, request.class_names, prompt, module.logit_scale.exp(), request.spec))

    return Made(HFTower(module), example, view, whole=module, finish=finish, renamed=_renamed(module, config))


def _image_view(folder: Path, side: int, channels: int) -> ImageView:
    """The view that the folder's preprocessor_config.json describes; half and half where there is none."""
    stated = _json(folder / "preprocessor_config.json") or {}
    mean = tuple(float(v) for v in stated.get("image_mean") or (0.5,) * channels)
    std = tuple(float(v) for v in stated.get("image_std") or (0.5,) * channels)
    if not stated.get("do_normalize", True):
        mean, std = (0.0,) * channels, (1.0,) * channels
    crop = _side(stated.get("crop_size")) if stated.get("do_center_crop") else None
    resized = _side(stated.get("size"))
    share = min(1.0, crop / resized) if crop and resized else 1.0
    return ImageView((side, side), mean, std, _RESAMPLE.get(stated.get("resample", 2), "bilinear"), share)


def _side(stated: Any) -> int | None:
    """The shorter side of a size: a number, {"shortest_edge": n}, or {"height": n, "width": n}."""
    if isinstance(stated, dict):
        found = [int(v) for v in stated.values() if isinstance(v, int)]
        return min(found) if found else None
    return int(stated) if isinstance(stated, int) else None


def _asked(request: Request) -> int | None:
    """The length of the data's samples."""
    return request.input_shape[0] if request.input_shape is not None and len(request.input_shape) == 1 else None


def _positions(config: Any) -> int | None:
    """How many tokens fit; the RoBERTa family counts from behind its padding id."""
    limit = getattr(config, "max_position_embeddings", None)
    if not isinstance(limit, int):
        return None
    counted = str(getattr(config, "model_type", "")).replace("_", "-")
    shifted = ("roberta" in counted and "deberta" not in counted) or counted in (
        "camembert",
        "xmod",
        "longformer",
        "mpnet",
    )
    return limit - int(getattr(config, "pad_token_id", None) or 0) - 1 if shifted else limit


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _task(plain: dict[str, Any], spec: str) -> str:
    names = " ".join(plain.get("architectures") or [])
    for mark, task in (
        ("CausalLM", "causal-lm"), ("LMHead", "causal-lm"), ("MaskedLM", "masked-lm"),
        ("ForSequenceClassification", "text-classification"), ("ForImageClassification", "image-classification"),
        ("CLIPModel", "zero-shot-image-classification"), ("SiglipModel", "zero-shot-image-classification"),
    ):  # fmt: skip
        if mark in names:
            return task
    raise SourceError(f"{spec!r} does not say its task: add ?task= with one of {', '.join(TASKS)}.")
