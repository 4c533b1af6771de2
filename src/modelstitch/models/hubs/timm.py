"""Image classifiers of timm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ...errors import SourceError, first_line
from ...support.downloads import hub_hint, hub_host, obtained, quiet
from ...support.optional import need
from ...views import published
from ..request import Made, Request, StateDict, check_options, closest

_HELD = "model.safetensors", "pytorch_model.bin"


def make(request: Request) -> Made:
    """Make ``timm:NAME``, or ``timm:FOLDER`` of config.json and weights as timm pushes them to the hub.

    The network sees images through timm's own evaluation transform, or at ``size=``, where no border is cut off;
    ``?classes=0`` has no head.

    Raises:
        SourceError: if there is no such model, it cannot be made so, or its published weights cannot be had.
    """
    timm: Any = need("timm")
    folder = Path(request.path)
    if (folder / "config.json").is_file():
        return _folder(timm, request, folder)
    base = request.path.split(".")[0]
    if not timm.is_model(base):
        raise SourceError(f"timm has no model {request.path!r}: {closest(base, timm.list_models())}")
    check_options(request)
    options: dict[str, Any] = {}
    if request.classes is not None:
        options["num_classes"] = request.classes
    if request.size is not None and "img_size" in _takes(timm, base):
        options["img_size"] = request.size
    if not request.published:
        module = _create(timm, request, options)
        made: dict[str, Any] = {"renamed": _renamed(timm, request, options)}
    else:
        module, made = _published(timm, request, base, options)
    config = _seen(timm, module, request.size)
    view = published("timm", config, config["input_size"][0])
    return Made(module, torch.zeros(2, *config["input_size"]), view, head=request.classes != 0, **made)


def _folder(timm: Any, request: Request, folder: Path) -> Made:
    """The model of a local folder, with its own settings; timm reads tensors alone of it."""
    if request.published and not any((folder / name).is_file() for name in _HELD):
        raise SourceError(
            f"{request.spec!r} holds no weights that can be read: expected {' or '.join(_HELD)}; put them there, or "
            f"ask for random "
            'weights with weights="random" (--random-weights).'
        )
    check_options(request)
    options: dict[str, Any] = {} if request.classes is None else {"num_classes": request.classes}
    try:
        with quiet("timm"):
            module = timm.create_model(f"local-dir:{folder}", pretrained=request.published, **options)
    except Exception as error:  # whatever timm makes of a folder of others
        raise SourceError(
            f"timm cannot make {request.spec!r} ({type(error).__name__}: {first_line(error)}): expected config.json "
            "and weights as timm pushes them to the hub."
        ) from error
    config = _seen(timm, module, request.size)
    classes = module.pretrained_cfg.get("num_classes")
    return Made(
        module,
        torch.zeros(2, *config["input_size"]),
        published("timm", config, config["input_size"][0]),
        head=request.classes != 0,
        origin=f"folder {request.path}" if request.published else "",
        drawn=f"head of {request.classes} classes"
        if request.published and request.classes not in (None, 0, classes)
        else "",
    )


def _seen(timm: Any, module: Any, size: int | None) -> dict[str, Any]:
    """What timm's transform takes.

    The published settings, those for the published test size where that is asked for.
    """
    config: dict[str, Any] = timm.data.resolve_model_data_config(module)
    channels = config["input_size"][0]
    if size is None or config["input_size"] == (channels, size, size):
        return config
    tested: dict[str, Any] = timm.data.resolve_model_data_config(module, use_test_size=True)
    if tested["input_size"] == (channels, size, size):
        return tested
    return config | {"input_size": (channels, size, size), "crop_pct": 1.0}


def _create(timm: Any, request: Request, options: dict[str, Any], **more: Any) -> Any:
    try:
        return timm.create_model(request.path, **options, **more)
    except (TypeError, RuntimeError, ValueError, AssertionError) as error:
        raise SourceError(f"timm cannot make {request.path!r} with {options}: {error}.") from error


def _published(timm: Any, request: Request, base: str, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The module with its published weights, and where they come from."""
    try:
        stated = timm.get_pretrained_cfg(request.path)
    except RuntimeError:  # no such tag
        stated = None
    source = None if stated is None else stated.hf_hub_id or stated.url or stated.file
    if not source:
        tags = timm.list_pretrained(f"{base}.*")
        known = f"expected one of {', '.join(tags[:6])}" if tags else "timm has none for this architecture"
        raise SourceError(
            f"timm publishes no weights under {request.path!r}: {known}; give a file with weights=FILE, or ask for "
            f"random "
            'weights with weights="random" (--random-weights).'
        )
    name = f"timm {stated.architecture or base}{'.' + stated.tag if stated.tag else ''}"
    hub = bool(stated.hf_hub_id)
    cached = Path(torch.hub.get_dir()) / "checkpoints" / str(source).rpartition("/")[2]
    with quiet("timm"):
        module = obtained(
            lambda: timm.create_model(request.path, pretrained=True, **options),
            seed=request.seed,
            published=request.published,
            what=f"the published weights of {name}",
            host=hub_host() if hub else str(source).partition("://")[2].partition("/")[0],
            offline=hub_hint(str(source)) if hub else f"download {source} elsewhere and copy it to {cached}",
            local=None if hub else cached,
        )
    classes = options.get("num_classes", stated.num_classes)
    drawn = f"head of {classes} classes" if classes not in (0, stated.num_classes) else ""
    return module, {"origin": name, "drawn": drawn}


def _renamed(timm: Any, request: Request, options: dict[str, Any]) -> Callable[[StateDict], StateDict]:
    """timm renames and reshapes the tensors of files that were written by other libraries, or by itself long ago."""

    def renamed(state: StateDict) -> StateDict:
        with torch.random.fork_rng(devices=[]), quiet("timm"):
            twin = timm.create_model(request.path, **options)
            own = {"state_dict": dict(state), "num_classes": twin.num_classes, "label_offset": 0}
            found: StateDict = timm.create_model(
                request.path, pretrained=True, pretrained_cfg_overlay=own, **options
            ).state_dict()
        return found

    return renamed


def _takes(timm: Any, base: str) -> set[str]:
    """Vision transformers fix their size when made; convolutional networks take any."""
    fixed = timm.models.is_model_in_modules
    families = {
        "vision_transformer",
        "swin_transformer",
        "swin_transformer_v2",
        "deit",
        "beit",
        "eva",
        "cait",
        "xcit",
        "volo",
        "mlp_mixer",
        "twins",
        "convit",
        "pit",
        "tnt",
        "vision_transformer_relpos",
        "hiera",
        "naflexvit",
        "vision_transformer_hybrid",
        "sequencer",
        "maxxvit",
        "swin_transformer_v2_cr",
        "crossvit",
    }
    return {"img_size"} if fixed(base, families) else set()
