"""Hugging Face models from a local folder, or by their names on the hub. No remote code."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...data.readers.tokenizer import LENGTH, Tokenizer, holds_tokenizer, is_bare
from ...errors import DataError, NetworkError, SourceError, first_line
from ...support.downloads import hub_folder, is_hub_id
from ...support.optional import need
from ...support.reading import read_json
from ...support.words import among, first_of
from ...views import Published, from_processor, published
from ..request import RANDOM_ONES, Made, Request
from ..token_view import TokenView
from ..weights import budget, read_weights, widest
from ..zeroshot import HFTower, zero_shot

TASKS = {
    "causal-lm": "AutoModelForCausalLM",
    "masked-lm": "AutoModelForMaskedLM",
    "text-classification": "AutoModelForSequenceClassification",
    "image-classification": "AutoModelForImageClassification",
    "zero-shot-image-classification": "AutoModelForZeroShotImageClassification",
    "features": "AutoModel",
}
_MARKS = {  # in the name of an architecture
    "CausalLM": "causal-lm",
    "LMHead": "causal-lm",
    "MaskedLM": "masked-lm",
    "ForSequenceClassification": "text-classification",
    "ForImageClassification": "image-classification",
    "CLIPModel": "zero-shot-image-classification",
    "SiglipModel": "zero-shot-image-classification",
}
_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
_SIDES = ("height", "width", "shortest_edge")
_SAFE = ("model.safetensors", "model.safetensors.index.json")
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_OTHERS = (".safetensors", ".bin", ".h5", ".msgpack", ".gguf", ".onnx", ".ot", ".pt", ".pth", ".ckpt")


def make(request: Request) -> Made:
    """``hf:FOLDER?task=causal-lm`` or ``hf:ORG/NAME``.

    The task is read from the config's architecture where it is not given.

    ``task=features`` is the network without its head, whose hidden states (or ``output=``) similarities compare; with
    ``pool=mean``, ``pool=max`` or ``pool=first`` a text's one vector, over its tokens without padding, as sentence
    encoders give it. Images are seen through the folder's own image processor; without one the network has no view.

    Raises:
        SourceError: if the folder holds no config or no weights, the task is unknown, the model needs code of its own,
            its weights do not fill it, or a text is longer than it has positions.
    """
    named = is_hub_id(request.path)
    folder = hub_folder(request.path, weights=request.published) if named else Path(request.path)
    plain = _settings(folder, request)
    transformers: Any = need("transformers")
    task = request.options.pop("task", None) or _task(plain, request.spec)
    if task not in TASKS:
        raise SourceError(f"The task {task!r} is unknown: {among(task, TASKS)}")
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        module, drawn = _module(_class(transformers, plain, task), folder, config, request)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError, ImportError) as error:
        raise SourceError(
            f"transformers cannot make {request.spec!r} for {task} ({first_line(error)}): check folder and task."
        ) from error
    where = f"Hugging Face {request.path}{_commit(folder)}" if named else f"folder {request.path}"
    reads = str(getattr(module, "main_input_name", "input_ids"))
    images = "image" in task or reads == "pixel_values" or hasattr(module, "vision_model")
    made = (_image if images else _text)(request, folder, config, module, task)
    return replace(made, origin=where if request.published else "", drawn=drawn)


def _settings(folder: Path, request: Request) -> dict[str, Any]:
    """A folder's config, of a model that transformers itself holds."""
    plain = _json(folder / "config.json")
    if plain is None:
        raise SourceError(
            f"{request.spec!r} cannot be read: expected a local folder with config.json, or the name of a model on the "
            "hub, hf:ORG/NAME; download the model first, for example with `hf download`."
        )
    if "architecture" in plain and "model_type" not in plain and "task" not in request.options:
        raise SourceError(
            f"{request.spec!r} holds a model of timm: expected one of transformers; write timm:{request.path} for a "
            "folder, or ?task=image-classification for transformers' own wrapper of it."
        )
    if "auto_map" in plain:
        raise SourceError(
            f"{request.spec!r} needs trust_remote_code: refused; use a model that transformers itself holds."
        )
    return plain


def _text(request: Request, folder: Path, config: Any, module: Any, task: str) -> Made:
    reads = str(getattr(module, "main_input_name", "input_ids"))
    if reads != "input_ids" or (task == "features" and getattr(config, "is_encoder_decoder", False)):
        raise SourceError(
            f"{request.spec!r} reads {reads}{'' if reads != 'input_ids' else ' and decoder_input_ids'}: expected a "
            "network of images or of one text; give the part that you mean to modelstitch.Network(module, example)."
        )
    asked = request.input_shape[0] if request.input_shape is not None and len(request.input_shape) == 1 else None
    length = request.size or asked or LENGTH
    longest = _positions(config)
    if longest is not None and length > longest:
        raise SourceError(
            f"{request.spec!r} has {longest} positions, the texts have {length} tokens: expected no more; shorten them "
            f"with '?length={longest}' of the data or '?size={longest}' of the model."
        )
    ids = torch.ones(2, length, dtype=torch.int64)
    names = ("input_ids", "attention_mask")
    pool = request.options.pop("pool", None)
    if pool is not None:
        if pool not in POOLS or task != "features":
            raise SourceError(
                f"The option pool={pool} of {request.spec!r} cannot be: expected {', '.join(POOLS)}, of a network "
                "without its head, ?task=features."
            )
        module = pooled(module, pool)
    view = TokenView(names, task, Tokenizer.load(folder) if holds_tokenizer(folder) else None, length)
    example = dict(zip(names, (ids, torch.ones_like(ids))))
    return Made(
        module,
        example,
        view,
        data="input_ids",
        output=_output(request, task),
        renamed=_renamed(module, config),
        head=task != "features",
    )


def _class(transformers: Any, plain: dict[str, Any], task: str) -> Any:
    """The class that makes a task's network; for features that of the config itself where it is one without a head."""
    named: Any = getattr(transformers, str((plain.get("architectures") or [""])[0]), None)
    bare = task == "features" and isinstance(named, type) and issubclass(named, transformers.PreTrainedModel)
    if bare and is_bare(named.__name__) and not hasattr(named, "get_text_features"):
        return named
    return getattr(transformers, TASKS[task])


def _output(request: Request, task: str) -> str | None:
    return request.options.pop("output", None) if task == "features" else None


def _module(auto: Any, folder: Path, config: Any, request: Request) -> tuple[nn.Module, str]:
    """The model, and what of it is random beside the folder's weights."""
    classes = config.num_labels
    if request.classes is not None:
        config.num_labels = request.classes
    if not request.published:
        kind = request.dtype or torch.float32
        fresh: nn.Module = (
            auto.from_config(config, dtype=kind) if hasattr(auto, "from_config") else auto(config).to(kind)
        )
        return fresh, ""
    other = classes != config.num_labels
    module, lacking = _loaded(auto, folder, config, request, other=other)
    if lacking and _pools(auto) and all(key.startswith("pooler.") for key in lacking):
        module, lacking = _loaded(  # trained under a head that reads no pooler
            auto, folder, config, request, other=other, add_pooling_layer=False
        )
    inner = f"{module.base_model_prefix}."
    if lacking and (not other or any(key.startswith(inner) for key in lacking)):
        raise SourceError(
            f"The weights of {request.spec!r} leave {len(lacking)} parameters random ({first_of(lacking, 3)}): "
            "expected all of them; choose the task that they were trained for with ?task=."
        )
    loaded: nn.Module = module
    return loaded, f"head of {config.num_labels} classes" if lacking else ""


def _pools(auto: Any) -> bool:
    """Whether a network without a head may be made without its pooler."""
    return auto is need("transformers").AutoModel or "add_pooling_layer" in inspect.signature(auto).parameters


def _loaded(
    auto: Any, folder: Path, config: Any, request: Request, *, other: bool, **options: Any
) -> tuple[Any, list[str]]:
    """A network with the folder's weights, and the names of what they leave random.

    Args:
        other: it has another number of classes than the folder's.

    Raises:
        SourceError: if the folder holds no weights, or they cannot be read.
    """
    how: dict[str, Any] = {
        "config": config,
        "output_loading_info": True,
        "dtype": request.dtype or "auto",
        "ignore_mismatched_sizes": other,
        **options,
    }
    if any((folder / name).is_file() for name in _SAFE):
        how |= {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True}
        with _quiet():
            module, told = auto.from_pretrained(folder, **how)
    else:
        with torch.device("meta"):
            bare = auto.from_config(config) if hasattr(auto, "from_config") else auto(config)
        state = _pickled(bare, folder, request)
        how["dtype"] = request.dtype or widest(state.values())
        with _quiet():
            module, told = type(bare).from_pretrained(None, state_dict=state, **how)
    return module, sorted({*told["missing_keys"], *(key for key, *_ in told["mismatched_keys"])})


def _pickled(bare: nn.Module, folder: Path, request: Request) -> dict[str, Tensor]:
    """The tensors of a folder without safetensors."""
    file = next((folder / name for name in _PICKLED if (folder / name).is_file()), None)
    if file is None:
        others = [p.name for p in sorted(folder.iterdir()) if p.suffix in _OTHERS]
        raise SourceError(
            f"{request.spec!r} holds no weights that can be read: expected {_SAFE[0]} or {_PICKLED[0]}, found "
            f"{', '.join(others[:4]) or 'a configuration alone'}; put them there, give a file with weights=FILE, or "
            f"{RANDOM_ONES}."
        )
    return read_weights(file, limit=budget(sum(t.numel() * 8 for t in bare.state_dict().values())))


def _commit(folder: Path) -> str:
    """At which commit a folder in the cache of the hub's client is."""
    return f" at {folder.name[:12]}" if folder.parent.name == "snapshots" else ""


def _renamed(module: Any, config: Any) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    """transformers keeps files under the names of earlier versions, and renames tensors as it loads them."""

    def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
        with _quiet():
            twin, told = type(module).from_pretrained(
                None, config=config, state_dict=dict(state), output_loading_info=True, dtype=widest(state.values())
            )
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
    channels = int(getattr(inner, "num_channels", None) or 3)
    view = _processor(request, folder, channels)
    example = torch.zeros(2, channels, *_size(request, inner))
    if view is not None:
        try:
            example = torch.zeros(2, *view(example.to("cpu"))[0].shape)
        except (DataError, NetworkError) as error:
            raise SourceError(f"The image processor of {request.spec!r} cannot be used: {error}") from error
    if task == "image-classification" or not hasattr(module, "get_image_features"):
        output = _output(request, task)
        return Made(module, example, view, output=output, renamed=_renamed(module, config), head=task != "features")
    prompt = request.options.pop("prompt", None)
    if not hasattr(module, "vision_model") or not hasattr(module, "get_text_features"):
        raise SourceError(
            f"{request.spec!r} has no image and text tower side by side: expected a CLIP or SigLIP model."
        )

    def finish() -> nn.Module:
        if request.class_names is None or request.meta or task == "features":
            return HFTower(module)
        module.eval()
        tokenizer = Tokenizer.load(folder)

        def embed(texts: list[str]) -> Tensor:
            found = module.get_text_features(**tokenizer.batch(texts, int(config.text_config.max_position_embeddings)))
            embeddings: Tensor = found if isinstance(found, Tensor) else found.pooler_output
            return embeddings

        return HFTower(module, zero_shot(embed, request.class_names, prompt, module.logit_scale.exp(), request.spec))

    return Made(
        HFTower(module),
        example,
        view,
        whole=module,
        finish=finish,
        renamed=_renamed(module, config),
        head=task != "features" and request.class_names is not None,
    )


def _processor(request: Request, folder: Path, channels: int) -> Published | None:
    """The folder's own image processor as a view, at another size where that is asked for; None without its file.

    Raises:
        SourceError: if it needs code of its own, or is none that transformers knows.
    """
    stated = [said for name in _PROCESSORS if (said := _json(folder / name)) is not None]
    of_timm = "pretrained_cfg" in (_json(folder / "config.json") or {})  # whose settings stand in the config
    if not of_timm and not any((folder / name).is_file() for name in _PROCESSORS):
        return None
    if any("auto_map" in (said.get("image_processor") or said) for said in stated):
        raise SourceError(
            f"The image processor of {request.spec!r} needs trust_remote_code: refused; give Network() a view= of "
            f"your own."
        )
    transformers: Any = need("transformers")
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        view = from_processor(processor, channels)
        return view if request.size is None else _at_size(view, request.size, channels)
    except NetworkError as error:
        raise SourceError(f"The image processor of {request.spec!r} cannot be used: {error}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise SourceError(
            f"The image processor of {request.spec!r} cannot be had ({first_line(error)}): expected {_PROCESSORS[0]} "
            "as save_pretrained() writes it; nothing is guessed in its place."
        ) from error


def _at_size(view: Published, size: int, channels: int) -> Published:
    """A processor's view at another size of images."""
    settings = json.loads(view.settings)
    if view.library == "timm":
        return published("timm", settings | {"input_size": (channels, size, size), "crop_pct": 1.0}, channels)
    for key in ("size", "crop_size"):
        if isinstance(settings.get(key), dict):
            settings[key] = dict.fromkeys([side for side in _SIDES if settings[key].get(side)], size)
    return published("transformers", settings, channels)


def _size(request: Request, config: Any) -> tuple[int, int]:
    """The size of image that a config states, (height, width); 224 where it states none."""
    stated = request.size or getattr(config, "image_size", None)
    if isinstance(stated, int):
        return stated, stated
    if isinstance(stated, list | tuple) and len(stated) == 2:
        return int(stated[0]), int(stated[1])
    return 224, 224


def _positions(config: Any) -> int | None:
    """How many tokens fit; the RoBERTa family counts from behind its padding id."""
    limit = getattr(config, "max_position_embeddings", None)
    if not isinstance(limit, int):
        return None
    counted = str(getattr(config, "model_type", "")).replace("_", "-")
    others = ("camembert", "xmod", "longformer", "mpnet")
    shifted = ("roberta" in counted and "deberta" not in counted) or counted in others
    return limit - int(getattr(config, "pad_token_id", None) or 0) - 1 if shifted else limit


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _task(plain: dict[str, Any], spec: str) -> str:
    names = plain.get("architectures") or [""]
    for mark, task in _MARKS.items():
        if mark in " ".join(names):
            return task
    if is_bare(names[0]):
        return "features"
    raise SourceError(f"{spec!r} does not say its task: add ?task= with one of {', '.join(TASKS)}.")


POOLS = ("mean", "max", "first")


def pooled(module: nn.Module, how: str) -> nn.Module:
    """Let a network of transformers give one vector for each text; its layers keep their names.

    Args:
        module: gives ``last_hidden_state`` (n, tokens, width); it is changed.
        how: "mean" or "max" over the tokens that are there, or the "first" token.

    Returns:
        The module.
    """
    kind: Any = type(module)

    class OneVector(kind):  # type: ignore[misc]
        """The network with its states pooled."""

        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
            states = super().forward(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            return over_tokens(states, attention_mask, how)

    OneVector.__name__ = kind.__name__
    module.__class__ = OneVector
    return module


def over_tokens(states: Tensor, mask: Tensor, how: str) -> Tensor:
    """One vector for each text.

    Args:
        states: (n, tokens, width).
        mask: (n, tokens), 1 where a text has a token.
        how: as for ``pooled``.

    Returns:
        (n, width).
    """
    if how == "first":
        return states[:, 0]
    there = mask[..., None] != 0
    if how == "max":
        return states.masked_fill(~there, torch.finfo(states.dtype).min).amax(1)
    return torch.where(there, states, 0).sum(1) / there.sum(1).clamp(min=1)
