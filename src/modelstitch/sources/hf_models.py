"""Hugging Face models from a local folder: a config with random weights, or a folder with weights. No remote code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from ..errors import SourceError
from .extras import need
from .image_view import ImageView, TokenView
from .request import Made, Request

TASKS = {
    "causal-lm": "AutoModelForCausalLM",
    "masked-lm": "AutoModelForMaskedLM",
    "text-classification": "AutoModelForSequenceClassification",
    "image-classification": "AutoModelForImageClassification",
}
LENGTH = 32


def make(request: Request) -> Made:
    """``hf:FOLDER?task=causal-lm``: the task is read from the config's architecture where it is not given.

    Raises:
        SourceError: if the folder holds no config, the task is unknown, or the model needs code of its own.
    """
    folder = Path(request.path)
    try:
        plain = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(
            f"{request.spec!r} cannot be read ({type(error).__name__}): expected a local folder with config.json; "
            "download the model first, for example with `hf download`."
        ) from error
    if "auto_map" in plain:
        raise SourceError(
            f"{request.spec!r} needs trust_remote_code: refused; use a model that transformers itself holds."
        )
    transformers: Any = need("transformers")
    task = request.options.pop("task", None) or _task(plain, request.spec)
    if task not in TASKS:
        raise SourceError(f"The task {task!r} is unknown: expected one of {', '.join(TASKS)}.")
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if request.classes is not None:
        config.num_labels = request.classes
    auto = getattr(transformers, TASKS[task])
    has_weights = any(folder.glob("*.safetensors"))
    if has_weights and request.weights is None and not request.meta:
        module = auto.from_pretrained(folder, local_files_only=True, trust_remote_code=False, use_safetensors=True)
    else:
        module = auto.from_config(config)
    if task == "image-classification":
        size = request.size or int(getattr(config, "image_size", 224))
        channels = int(getattr(config, "num_channels", 3))
        view = ImageView((size, size), (0.5,) * channels, (0.5,) * channels)
        return Made(module, torch.zeros(2, channels, size, size), view)
    ids = torch.ones(2, request.size or LENGTH, dtype=torch.int64)
    names = ("input_ids", "attention_mask")
    return Made(module, dict(zip(names, (ids, torch.ones_like(ids)))), TokenView(names), data="input_ids")


def _task(plain: dict[str, Any], spec: str) -> str:
    names = " ".join(plain.get("architectures") or [])
    for mark, task in (
        ("CausalLM", "causal-lm"), ("LMHead", "causal-lm"), ("MaskedLM", "masked-lm"),
        ("ForSequenceClassification", "text-classification"), ("ForImageClassification", "image-classification"),
    ):  # fmt: skip
        if mark in names:
            return task
    raise SourceError(f"{spec!r} does not say its task: add ?task= with one of {', '.join(TASKS)}.")
