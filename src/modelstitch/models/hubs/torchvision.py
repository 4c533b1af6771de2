"""Image classifiers of torchvision."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch

from ...errors import SourceError
from ...support.downloads import obtained
from ...support.optional import need
from ...views import published
from ..request import Made, Request, StateDict, check_options, closest
from ..weights import names_in
from ..weights_file import file_hash

TURNED = ("googlenet", "inception_v3")  # that can turn their input into another normalisation
_DOTTED = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(?=[12]\.)")


def make(request: Request) -> Made:
    """``torchvision:NAME``.

    Seen through its published weights' own transform, or at ``size=``, where no border is cut off.

    Raises:
        SourceError: if there is no such model, it cannot be made so, or its published weights cannot be had.
    """
    models: Any = need("torchvision.models")
    known = models.list_models(module=models)
    if request.path not in known:
        raise SourceError(f"torchvision has no classifier {request.path!r}: {closest(request.path, known)}")
    weights = _tagged(models.get_model_weights(request.path), request)
    options: dict[str, Any] = {}
    if request.classes is not None:
        options["num_classes"] = request.classes
    recipe = weights.transforms()
    side = int(recipe.crop_size[0]) if request.size is None else request.size
    if request.size is not None and request.path.startswith("vit_"):
        options["image_size"] = side  # learnt positions: the size is fixed when it is made
    if request.path in TURNED:
        options |= _turned(request, weights)
    check_options(request)
    made: dict[str, Any] = {"renamed": _renamed}
    if request.published:
        module, made = _published(models, weights, request, options)
    else:
        module = _create(models, request, options)
    return Made(module, torch.zeros(2, 3, side, side), published("torchvision", _seen(weights, request.size)), **made)


def _seen(weights: Any, size: int | None) -> dict[str, Any]:
    """What the transform of published weights takes, at another size where that is asked for."""
    recipe = weights.transforms()
    crop, resized = (int(side[0]) if size is None else size for side in (recipe.crop_size, recipe.resize_size))
    return {
        "weights": str(weights),
        "resize_size": resized,
        "crop_size": crop,
        "mean": recipe.mean,
        "std": recipe.std,
        "interpolation": recipe.interpolation.value,
        "antialias": recipe.antialias,
    }


def _tagged(known: Any, request: Request) -> Any:
    """The published weights that are meant.

    ``?tag=IMAGENET1K_V1``, those that a given file is, else torchvision's default.
    """
    tag = request.options.pop("tag", None)
    if tag is None and request.weights is not None and len(known) > 1:
        return next((one for one in known if _is(request.weights, one)), known["DEFAULT"])
    tag = tag or "DEFAULT"
    if tag not in known.__members__:
        raise SourceError(
            f"torchvision publishes no weights {tag!r} of {request.path!r}: expected one of "
            f"{', '.join(known.__members__)}."
        )
    return known[tag]


def _create(models: Any, request: Request, options: dict[str, Any]) -> Any:
    try:
        return models.get_model(request.path, weights=None, **options)
    except (TypeError, RuntimeError, ValueError) as error:
        raise SourceError(f"torchvision cannot make {request.path!r} with {options}: {error}.") from error


def _published(models: Any, weights: Any, request: Request, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The module with published weights; with a random head where it has other classes than they."""
    name = f"torchvision {request.path} {weights.name}"
    file = Path(urlparse(weights.url).path).name
    fixed = {key: value for key, value in options.items() if key in ("image_size", "transform_input")}
    cached = Path(torch.hub.get_dir()) / "checkpoints" / file
    side = weights.meta["min_size"][0]
    if fixed.get("image_size", side) != side:
        raise SourceError(
            f"The published weights of {name} are for images of {side} x {side}: expected size={side} or none, found "
            f"{request.size}; the view resizes the data."
        )
    whole = obtained(
        lambda: models.get_model(request.path, weights=weights, progress=False, **fixed),
        seed=request.seed,
        published=request.published,
        what=f"the published weights of {name}",
        host=urlparse(weights.url).netloc,
        offline=f"download {weights.url} elsewhere and copy it to {cached}",
        local=cached,
    )
    classes, held = request.classes, len(weights.meta["categories"])
    if classes is None or classes == held:
        return whole, {"origin": name}
    torch.manual_seed(request.seed)
    module = _create(models, request, options | {"aux_logits": False} if request.path in TURNED else options)
    own, state = module.state_dict(), whole.state_dict()
    kept = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    module.load_state_dict(kept, strict=False)
    return module, {"origin": name, "drawn": f"head of {classes} classes"}


def _turned(request: Request, weights: Any) -> dict[str, Any]:
    """GoogLeNet's and Inception's options.

    Of the input, which a weights file does not tell, and of heads for training.
    """
    options: dict[str, Any] = {"init_weights": True, "aux_logits": False}
    asked = request.options.pop("transform_input", None)
    if asked not in (None, "true", "false"):
        raise SourceError(
            f"The option transform_input={asked} of {request.spec!r} cannot be used: expected true or false."
        )
    if asked is not None:
        options["transform_input"] = asked == "true"
    elif request.published:
        options["transform_input"] = True
    if request.weights is not None:
        options["aux_logits"] = any(name.startswith(("aux1.", "AuxLogits.")) for name in names_in(request.weights))
        if asked is None and not _is(request.weights, weights):
            raise SourceError(
                f"Weights of {request.path} do not tell whether the network turns its input into another normalisation "
                f"(transform_input): expected true, as for torchvision's own and what was trained from them, or "
                f"false, as for a network "
                f"made from scratch; write {request.spec}{'&' if '?' in request.spec else '?'}transform_input=true."
            )
        options.setdefault("transform_input", True)
    return options


def _is(file: Path, weights: Any) -> bool:
    """Whether a file is the published one: its hash begins with the digits that end the published name."""
    mark = Path(urlparse(weights.url).path).stem.rpartition("-")[2]
    return file.is_file() and file_hash(file).startswith(mark)


def _renamed(state: StateDict) -> StateDict:
    """DenseNet's published files have names with a dot that PyTorch forbade later."""
    return {_DOTTED.sub(r"\1", key): value for key, value in state.items()}
