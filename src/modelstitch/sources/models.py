"""Networks by name: a closed registry of loaders, each imported when first asked for."""

from __future__ import annotations

import importlib.util
import inspect
import weakref
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from ..errors import SourceError
from ..network import Network
from ..views import as_view, normalising
from .data import Data
from .request import Made, Request, closest
from .weights import load_weights

_LOADERS = {
    "timm": ".timm_models", "torchvision": ".torchvision_models", "openclip": ".openclip_models", "hf": ".hf_models",
}  # fmt: skip
KINDS = ("zoo", "file", *_LOADERS, "import")
_NO_FILE = (
    "no file has been imported; name yours with --import FILE.py, in Python with "
    "modelstitch.sources.models.register_import('FILE.py')."
)
_imported: dict[str, Callable[..., Any]] = {}
_files: dict[Path, None] = {}  # where they came from, in order
_traced: weakref.WeakValueDictionary[tuple[Any, ...], Network] = (
    weakref.WeakValueDictionary()
)  # as long as someone uses them


def load(
    spec: str,
    *,
    weights: str | Path | None = None,
    input_shape: tuple[int, ...] | None = None,
    name: str | None = None,
    classes: int | None = None,
    class_names: Sequence[str] | None = None,
    size: int | None = None,
    pretrained: bool = False,
    seed: int = 0,
    meta: bool = False,
    view: Any = None,
) -> Network:
    """A network by name, traced.

    Args:
        spec: ``zoo:NET?width=16``, ``timm:NAME``, ``torchvision:NAME``, ``hf:FOLDER?task=...``, ``openclip:NAME``,
            ``import:FUNCTION`` (after :func:`register_import`), or a donor folder (``file:DIR`` or its path).
        weights: a .safetensors, .pt or .pth file; without it (and ``pretrained``) the weights are random.
        input_shape: one sample's shape, for nets that take any (zoo, import), or (tokens,) for text.
        name: how seams and reports call it.
        classes: of the head, where the family has such a choice; ``?classes=`` in the spec goes before it.
        class_names: what a CLIP model is to tell apart: its text tower makes the classifier (zero-shot).
        size: of the input image, or the number of tokens; ``?size=`` in the spec goes before it.
        pretrained: the family's published weights, by its own downloader.
        seed: of random weights; the global generator is left as it was.
        meta: build without allocating weights: for listing layers only.
        view: how it sees raw samples, in place of its own view, as in :class:`Network`; ``Normalise(mean, std)`` without a size
            resizes images to the network's.

    Raises:
        SourceError: if the spec is unknown, or the model or its weights cannot be had.
        MissingExtraError: if the family's package is not installed.
        TraceError: if the model cannot be traced.
    """
    names = tuple(class_names) if class_names is not None else None
    request = _parse(spec, classes, size, pretrained, weights, input_shape, seed, meta, names)
    with torch.random.fork_rng(devices=[]), torch.device("meta") if meta else nullcontext():
        torch.manual_seed(seed)
        made = _make(request)
    alike = _architecture(request, made)
    meta = meta and all(t.device.type == "meta" for t in made.module.state_dict().values())
    if request.options:
        raise SourceError(f"The options {', '.join(request.options)} of {spec!r} are unknown.")
    title = name or request.path.rstrip("/").split("/")[-1].partition("?")[0]
    if weights is not None:
        whole = made.whole if made.whole is not None else made.module
        load_weights(whole, weights, name=title, renamed=made.renamed)
    example = _to_meta(made.example) if meta else made.example
    module = made.module if made.finish is None else made.finish()
    seen = made.view if view is None else normalising(as_view(view), _image_shape(example))
    known = _traced.get(alike) if alike is not None and not meta else None
    if known is not None:
        twin = known.replaced(module, title)
        twin.view, twin.trained_on, twin.has_head = seen, made.trained_on, made.head
        return twin
    network = Network(module, example, title, data=made.data, output=made.output, view=seen, trained_on=made.trained_on)
    network.has_head = made.head
    if alike is not None and not meta:
        _traced[alike] = network
    return network


def _architecture(request: Request, made: Made) -> tuple[Any, ...] | None:
    """What two networks of one trace have in common; None for a function of the user's own, which may return anything."""
    if request.spec.startswith("import:"):
        return None
    return (
        made.net or request.spec, request.classes, request.size, request.pretrained, request.input_shape, request.class_names,
    )  # fmt: skip


def load_for(
    data: Data, spec: str, *, weights: str | Path | None = None, name: str | None = None, view: Any = None
) -> Network:
    """A network by name that is to see these data: their sample shape, number of classes and class names are passed on.

    Raises:
        SourceError, MissingExtraError, TraceError: as :func:`load`.
    """
    kind = spec.partition(":")[0]
    sequences = data.labels("val").ndim > 1
    return load(
        spec, weights=weights, name=name, view=view, input_shape=data.sample_shape,
        classes=data.n_classes if kind in ("timm", "torchvision", "zoo") and not sequences else None,
        class_names=data.classes if kind in ("hf", "openclip") else None,
    )  # fmt: skip


def register_import(path: str | Path) -> list[str]:
    """Run a Python file of the user's own and offer its functions as ``import:FUNCTION``; return their names.

    Raises:
        SourceError: if the file cannot be run.
    """
    file = Path(path)
    found = importlib.util.spec_from_file_location(f"modelstitch_import_{file.stem}", file)
    if found is None or found.loader is None or not file.is_file():
        raise SourceError(f"{file} cannot be imported: expected a Python file.")
    module: ModuleType = importlib.util.module_from_spec(found)
    try:
        found.loader.exec_module(module)
    except Exception as error:  # whatever the user's own code raises
        raise SourceError(f"{file} cannot be imported ({type(error).__name__}: {error}).") from error
    own = {
        name: value
        for name, value in vars(module).items()
        if callable(value) and not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    }
    _imported.update(own)
    _files.setdefault(file.resolve())
    return list(own)


def imported_files() -> tuple[Path, ...]:
    """The files registered so far, as absolute paths."""
    return tuple(_files)


def _parse(
    spec: str,
    classes: int | None,
    size: int | None,
    pretrained: bool,
    weights: str | Path | None,
    input_shape: tuple[int, ...] | None,
    seed: int,
    meta: bool,
    class_names: tuple[str, ...] | None,
) -> Request:
    kind, colon, rest = spec.partition(":")
    if Path(spec).is_dir() and (Path(spec) / "card.json").is_file():
        kind, rest = "file", spec
    elif not colon or kind not in KINDS:
        raise SourceError(
            f"The model {spec!r} is unknown: expected {', '.join(f'{k}:...' for k in KINDS)}, or a donor folder."
        )
    path, _, query = rest.partition("?")
    options: dict[str, Any] = {}
    for item in filter(None, query.split("&")):
        key, equals, value = item.partition("=")
        if not equals:
            raise SourceError(f"The option {item!r} of {spec!r} cannot be read: expected 'name=value'.")
        options[key] = value
    size = _whole_number("size", options, spec) or size
    if kind != "zoo":  # whose nets read their own options
        asked = _whole_number("classes", options, spec, least=0 if kind == "timm" else 1)
        classes = classes if asked is None else asked
    file = Path(weights) if weights is not None else None
    return Request(
        f"{kind}:{rest}", path, classes, size, pretrained, file, input_shape, seed, meta, class_names, options
    )


def _whole_number(key: str, options: dict[str, Any], spec: str, least: int = 1) -> int | None:
    text = options.pop(key, None)
    if text is None:
        return None
    if not text.isdecimal() or int(text) < least:
        raise SourceError(f"The option {key}={text} of {spec!r} cannot be used: expected a number of {least} or more.")
    return int(text)


def _make(request: Request) -> Made:
    kind = request.spec.partition(":")[0]
    if kind in _LOADERS:
        made: Made = import_module(_LOADERS[kind], __package__).make(request)
        return made
    if kind == "zoo":
        return _zoo(request)
    if kind == "file":
        return _folder(request)
    return _import(request)


def _zoo(request: Request) -> Made:
    # The zoo lies above this room; it is named by string and loaded only when a user asks for it.
    build = import_module("modelstitch.zoo.nets").build
    shape = request.input_shape or (3, 32, 32)
    written = request.spec.removeprefix("zoo:")
    defaults = {"in_channels": shape[0]} | ({} if request.classes is None else {"classes": request.classes})
    if "small-resnet" in written and request.input_shape is None:
        shape, defaults["in_channels"] = (1, 8, 8), 1
    module: nn.Module = build(written, seed=request.seed, **defaults)
    request.options.clear()
    return Made(module, torch.zeros(2, *shape))


def _folder(request: Request) -> Made:
    donor = import_module("modelstitch.zoo.donors").load_donor(Path(request.path))
    first = next(p for p in donor.module.parameters() if p.ndim == 4)
    shape = request.input_shape or ((int(first.shape[1]), 8, 8) if first.shape[1] == 1 else (3, 32, 32))
    recipe = donor.card.get("identity", {}).get("recipe", {})
    trained_on = (recipe.get("base") or recipe).get("n_fit")
    return Made(donor.module, torch.zeros(2, *shape), trained_on=trained_on, net=str(donor.card["net"]))


def _import(request: Request) -> Made:
    if request.path not in _imported:
        hint = closest(request.path, _imported) if _imported else _NO_FILE
        raise SourceError(f"No imported function is called {request.path!r}: {hint}")
    result = _call(request)
    if isinstance(result, nn.Module):
        if request.input_shape is None:
            raise SourceError(
                f"The function {request.path!r} returns a module alone: expected (module, example), or data whose "
                "samples show the shape of its input."
            )
        return Made(result, torch.zeros(2, *request.input_shape))
    if isinstance(result, tuple) and len(result) in (2, 3) and isinstance(result[0], nn.Module):
        return Made(*result)
    raise SourceError(
        f"The function {request.path!r} returns {type(result).__name__}: expected a module, (module, example), or "
        f"(module, example, view); see {inspect.getsourcefile(_imported[request.path])}."
    )


def _call(request: Request) -> Any:
    """What the user's function returns; without memory where that is asked for and its code allows it."""
    function = _imported[request.path]
    if request.meta:
        try:
            result = function()
            module = result[0] if isinstance(result, tuple) and result else result
            if isinstance(module, nn.Module) and all(t.device.type == "meta" for t in module.state_dict().values()):
                return result
        except Exception:  # code that reads numbers while it builds, or loads weights of its own: built for real below
            pass
    try:
        with torch.device("cpu"):
            return function()
    except Exception as error:  # whatever the user's own code raises
        raise SourceError(f"The function {request.path!r} fails ({type(error).__name__}: {error}).") from error


def _image_shape(example: Any) -> tuple[int, ...]:
    """(channels, height, width) of an example of images; empty of any other."""
    return tuple(example.shape[1:]) if isinstance(example, torch.Tensor) and example.ndim == 4 else ()


def _to_meta(example: Any) -> Any:
    return pytree.tree_map_only(torch.Tensor, lambda tensor: tensor.to("meta"), example)
