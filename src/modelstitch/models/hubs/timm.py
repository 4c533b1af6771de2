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
from ..request import RANDOM_ONES, Made, Request, StateDict, check_options, closest

_HELD = "model.safetensors", "pytorch_model.bin"
_FIXED_NAMES = """
    vision_transformer swin_transformer swin_transformer_v2 deit beit eva cait xcit volo mlp_mixer twins convit pit tnt
    vision_transformer_relpos hiera naflexvit vision_transformer_hybrid sequencer maxxvit swin_transformer_v2_cr
    crossvit
"""


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
    if request.size is not None and _fixes_size(timm, base):
        options["img_size"] = request.size
    if not request.published:
        module = _create(timm, request, options)
        made: dict[str, Any] = {"renamed": _renamed(timm, request, options)}
    else:
        module, made = _published(timm, request, base, options)
    return _seen(timm, module, request, **made)


def _folder(timm: Any, request: Request, folder: Path) -> Made:
    """The model of a local folder, with its own settings; timm reads tensors alone of it."""
    if request.published and not any((folder / name).is_file() for name in _HELD):
        raise SourceError(
            f"{request.spec!r} holds no weights that can be read: expected {' or '.join(_HELD)}; put them there, or "
            f"{RANDOM_ONES}."
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
    if not request.published:
        return _seen(timm, module, request)
    other = request.classes not in (None, 0, module.pretrained_cfg.get("num_classes"))
    drawn = f"head of {request.classes} classes" if other else ""
    return _seen(timm, module, request, origin=f"folder {request.path}", drawn=drawn)


def _seen(timm: Any, module: Any, request: Request, **made: Any) -> Made:
    """The module with timm's transform.

    By the published settings, those for the published test size where that is asked for.
    """
    config: dict[str, Any] = timm.data.resolve_model_data_config(module)
    channels = config["input_size"][0]
    shape = config["input_size"] if request.size is None else (channels, request.size, request.size)
    if config["input_size"] != shape:
        tested: dict[str, Any] = timm.data.resolve_model_data_config(module, use_test_size=True)
        config = tested if tested["input_size"] == shape else config | {"input_size": shape, "crop_pct": 1.0}
    return Made(module, torch.zeros(2, *shape), published("timm", config, channels), head=request.classes != 0, **made)


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
            f"timm publishes no weights under {request.path!r}: {known}; give a file with weights=FILE, or "
            f"{RANDOM_ONES}."
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


def _fixes_size(timm: Any, base: str) -> bool:
    """Whether the size is fixed when a network is made, as of vision transformers; convolutional networks take any."""
    return bool(timm.models.is_model_in_modules(base, set(_FIXED_NAMES.split())))
