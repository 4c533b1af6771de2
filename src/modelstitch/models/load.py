"""Networks by name: a closed registry of loaders, each imported when first asked for."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import weakref
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from ..data.data import Data
from ..errors import SourceError
from ..network import Network
from ..network.network import LoadRecipe
from ..network.trace.digest import fingerprint
from ..support.kinds import kinds
from ..support.reading import told
from ..support.user_code import raised
from ..support.words import among, did_you_mean, near
from ..views import as_view, normalising
from .request import Made, Request, check_options, closest
from .typed import typed
from .weights import load_weights
from .weights_file import chosen, file_hash

_LOADERS = {
    "timm": ".hubs.timm",
    "torchvision": ".hubs.torchvision",
    "openclip": ".hubs.openclip",
    "hf": ".hubs.huggingface",
}
RANDOM = "random"  # weights that are drawn, instead of a file
DTYPES = ("float32", "float64", "bfloat16", "float16")
WEIGHTS = (".pt", ".pth", ".ckpt", ".bin", ".safetensors")  # what files of weights are called
KINDS = ("zoo", "file", *_LOADERS, "import")
_NO_FILE = "nothing is registered; name your file with --import FILE.py, in Python with ms.models.register('FILE.py')."

_imported: dict[str, Callable[..., Any]] = {}
_files: dict[Path, None] = {}  # where they came from, in order
_traced: weakref.WeakValueDictionary[tuple[Any, ...], Network] = (
    weakref.WeakValueDictionary()
)  # as long as someone uses them


@told(SourceError)
@kinds("spec", settled=True)
def load(
    spec: str | Path,
    *,
    weights: str | Path | None = None,
    input_shape: tuple[int, ...] | None = None,
    name: str | None = None,
    classes: int | None = None,
    class_names: Sequence[str] | None = None,
    size: int | None = None,
    dtype: torch.dtype | None = None,
    seed: int = 0,
    meta: bool = False,
    view: Any = None,
) -> Network:
    """Load a network by name, and trace it.

    A name means the weights that its library publishes under it, from the library's cache or by its own downloader,
    unless ``weights`` says otherwise. Networks of the zoo are published nowhere: their weights are random.
    ``Network.weights`` says which weights they are.

    Args:
        spec: ``zoo:NET?width=16``, ``timm:NAME``, ``torchvision:NAME?tag=...``, ``hf:FOLDER?task=...`` or
            ``hf:ORG/NAME``, ``openclip:NAME?tag=...``, ``import:FUNCTION`` (after ``models.register``), or a donor
            folder (``file:DIR``, or its path).
        weights: a .safetensors, .pt or .pth file, or the .index.json of several; or "random".
        input_shape: the shape of one sample, for networks that take any (zoo, import); (tokens,) for text.
        name: the network's name in seams and reports.
        classes: the number of classes of the head, if the family lets you choose; ``?classes=`` in the spec wins.
        class_names: the classes that a CLIP model tells apart; its text tower makes the classifier (zero-shot).
        size: the size of the input image, or the number of tokens; ``?size=`` in the spec wins.
        dtype: the type of the weights, or ``?dtype=`` in the spec; by default that of the weights file, or of the
            library's module.
        seed: the seed of random weights; the global generator stays as it was.
        meta: build without memory for weights, to list layers only.
        view: the view of raw samples, as in ``Network``, instead of the network's own; ``Normalise(mean, std)``
            without a size resizes images to the network's size.

    Raises:
        SourceError: if the spec is unknown, or the model or its weights cannot be had; the sentence says how to bring
            them to a machine without internet.
        MissingExtraError: if the family's package is not installed.
        TraceError: if the model cannot be traced.

    Returns:
        The network, with the view that belongs to its weights.

    Examples:
        >>> small = ms.load("zoo:small-resnet?width=8&blocks=2", seed=1)
        >>> small.weights
        'random, seed 1'
    """
    spec = str(spec)
    _check_not_below_0(classes=classes, size=size)
    names, shape = (tuple(given) if given is not None else None for given in (class_names, input_shape))
    asked: dict[str, Any] = {"classes": classes, "size": size, "dtype": dtype}
    asked |= {"input_shape": shape, "class_names": names}
    request = _parse(spec, weights, Request(spec, spec, seed=seed, meta=meta, **asked))
    made = _make(request)
    check_options(request)
    meta = meta and _without_memory(made.module)
    title = name or request.path.rstrip("/").split("/")[-1].partition("?")[0] + made.suffix
    said = _filled(request, made, title, weights, meta)
    module = made.module if made.finish is None else made.finish()
    example, seen = _as_seen(request, module, _to_meta(made.example) if meta else made.example, made.view, view)
    alike = None if meta or request.kind == "import" else _architecture(request, made)
    known = None if alike is None else _traced.get(alike)
    if known is not None:
        network = known.replaced(module, title, weights=said)
    else:
        network = Network(module, example, title, data=made.data, output=made.output, weights=said)
    network.view, network.trained_on, network.has_head = seen, made.trained_on, made.head
    if alike is not None:
        _traced.setdefault(alike, network)
        plain = _plain(request, weights, asked | {"name": name, "seed": seed})
        network.recipe = LoadRecipe(plain, network.view if view is None else None)
    return network


def _check_not_below_0(**numbers: int | None) -> None:
    for name, number in numbers.items():
        if number is not None and number < 0:
            raise SourceError(f"The option {name!r} is wrong: expected 0 or more, found {number}.")


def _filled(request: Request, made: Made, title: str, weights: str | Path | None, meta: bool) -> str | None:
    """Put a file's weights into what was made, or give its numbers a type; where they come from, in words."""
    whole = made.whole if made.whole is not None else made.module
    if request.weights is not None:
        how: dict[str, Any] = {"renamed": made.renamed, "dtype": request.dtype, "buffers": request.kind != "hf"}
        load_weights(whole, str(weights), name=title, **how)
    elif request.dtype is not None:
        whole.to(request.dtype)
    return _unloaded(request) if meta else _said(request, made, whole, weights)


def _as_seen(request: Request, module: nn.Module, example: Any, own: Any, given: Any) -> tuple[Any, Any]:
    """An example and the view, its own or the given one, in the type of the module's numbers."""
    seen = own if given is None else normalising(as_view(given), _image_shape(example))
    if request.weights is None and request.dtype is None and request.kind == "import":
        return example, seen
    return typed(module, example, seen)


def _plain(request: Request, weights: str | Path | None, asked: dict[str, Any]) -> dict[str, Any]:
    """The arguments of ``load`` as plain values, files and folders by their whole path."""
    path, query, options = request.spec.partition(":")[2].partition("?")
    given: dict[str, Any] = {
        "spec": f"{request.kind}:{Path(path).resolve() if Path(path).is_dir() else path}{query}{options}",
        "weights": RANDOM if request.random else None if weights is None else str(Path(weights).resolve()),
    }
    for key, value in asked.items():
        plain = str(value).removeprefix("torch.") if isinstance(value, torch.dtype) else value
        given[key] = list(plain) if isinstance(plain, tuple) else plain
    return {key: value for key, value in given.items() if value is not None}


_ARGUMENTS: dict[str, type] = {
    **dict.fromkeys(("spec", "weights", "name", "dtype"), str),
    **dict.fromkeys(("classes", "size", "seed"), int),
    **dict.fromkeys(("input_shape", "class_names"), list),
}


def load_again(recipe: Any) -> Network:
    """The network of a recipe's arguments, as they were kept.

    Raises:
        SourceError: they are none; and as ``load``.
    """
    if (
        not isinstance(recipe, dict)
        or "spec" not in recipe
        or not all(type(value) is _ARGUMENTS.get(key) for key, value in recipe.items())
    ):
        raise SourceError(f"{str(recipe)[:80]} names no network: expected the arguments of load().")
    given = dict(recipe)
    if "dtype" in given and given["dtype"] not in DTYPES:
        raise SourceError(f"The type {given['dtype']!r} is unknown: {among(str(given['dtype']), DTYPES)}")
    if given["spec"].startswith("import:"):
        raise SourceError(f"{given['spec']!r} is a function of somebody's own: no code is run that a file names.")
    if "dtype" in given:
        given["dtype"] = getattr(torch, given["dtype"])
    if "input_shape" in given:
        given["input_shape"] = tuple(int(n) for n in given["input_shape"])
    return load(**given)


def _said(request: Request, made: Made, whole: nn.Module, weights: str | Path | None) -> str | None:
    """Where the weights come from, in words, with a hash where they are not random.

    None for a module as the user gives it.
    """
    if request.weights is not None:
        return f"{weights}, sha256 {file_hash(request.weights)[:16]}{_type(whole)}"
    drawn = f", seed {request.seed}"
    if request.random or (not made.origin and request.kind != "import"):
        return f"random{drawn}{_type(whole)}"
    if not made.origin:
        return None
    held = f"{made.origin}, sha256 {fingerprint(whole)}{_type(whole)}"
    return f"random {made.drawn}{drawn}; the rest: {held}" if made.drawn else held


def _unloaded(request: Request) -> str:
    """What a network without memory says of its weights."""
    known = {"zoo": "random ones", "import": "your own"}
    of = known.get(request.kind, f"those of {request.spec.replace(':', ' ', 1)}")
    return f"none loaded; a run takes {'random ones' if request.random else of}"


def _type(module: nn.Module) -> str:
    """The type of the numbers where it is not the usual one."""
    kinds = {p.dtype for p in module.parameters() if p.is_floating_point()} - {torch.float32}
    return "".join(f", {str(kind).removeprefix('torch.')}" for kind in sorted(kinds, key=str))


def _architecture(request: Request, made: Made) -> tuple[Any, ...]:
    """What two networks of one trace have in common."""
    given = (request.classes, request.size, request.dtype, request.input_shape, request.class_names)
    return made.net or request.spec, request.random, request.weights is None, *given


def load_for(
    data: Data,
    spec: str,
    *,
    weights: str | Path | None = None,
    name: str | None = None,
    seed: int = 0,
    scored: bool = True,
    view: Any = None,
) -> Network:
    """Load a network by name that is to see these data.

    Their sample shape, number of classes and class names are passed on.

    Args:
        weights, name, seed, view: as for ``load``.
        scored: its answers are held against the labels, so that published weights of other classes are refused.

    Raises:
        SourceError, MissingExtraError, TraceError: as ``load``.
    """
    kind = spec.partition(":")[0]
    counted = not data.task.by_position and data.task.needs_head
    published = weights is None and kind in ("timm", "torchvision")
    classes = data.n_classes if kind in ("timm", "torchvision", "zoo") and counted else None
    network = load(
        spec,
        weights=weights,
        name=name,
        view=view,
        input_shape=data.sample_shape,
        seed=seed,
        classes=None if published else classes,
        class_names=data.classes if kind in ("hf", "openclip") else None,
    )
    if published and scored and network.has_head and classes is not None and network.output_shape[-1:] != (classes,):
        join = "&" if "?" in spec else "?"
        raise SourceError(
            f"The published weights of {spec} answer with {network.output_shape[-1]} classes, the data have {classes}: "
            "expected as many; give weights=FILE of a network trained on them, or ask for a random head with "
            f'{spec}{join}classes={classes}, or for random weights altogether with weights="random" (--random-weights).'
        )
    return network


def is_donor(spec: str) -> bool:
    """Whether a spec names a donor's folder, which holds its weights."""
    folder = Path(spec.removeprefix("file:").partition("?")[0])
    return folder.is_dir() and (folder / "card.json").is_file()


@kinds()
def register(source: str | Path | Callable[..., Any]) -> list[str]:
    """Make your own functions available as models ``import:FUNCTION``.

    Args:
        source: a Python file, which is run and whose public functions are registered, or one function. A file finds the
            modules that lie beside it, as a script does. A function takes
            no arguments and returns a module, (module, example), or (module, example, view). A function of the same
            name is replaced.

    Raises:
        SourceError: if the file cannot be run, or the function has no name.

    Returns:
        The names of the functions.

    Examples:
        >>> def tiny():
        ...     return nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2)), torch.zeros(2, 8)
        >>> ms.models.register(tiny)
        ['tiny']
        >>> ms.load("import:tiny").cuts
        ['0', '1']
    """
    if callable(source):
        name = getattr(source, "__name__", "")
        if not name.isidentifier():
            raise SourceError(f"{source!r} has no name to be called by: expected a function that is defined with def.")
        _imported[name] = source
        return [name]
    file = Path(source)
    found = importlib.util.spec_from_file_location(f"modelstitch_import_{file.stem}", file)
    if found is None or found.loader is None or not file.is_file():
        raise SourceError(f"{file} cannot be imported: expected a Python file.")
    module: ModuleType = importlib.util.module_from_spec(found)
    folder = str(file.parent.resolve())
    if folder not in sys.path:  # as a script finds the modules beside it, but behind what is installed
        sys.path.append(folder)
    try:
        found.loader.exec_module(module)
    except Exception as error:  # whatever the user's own code raises
        raise SourceError(f"{file} cannot be imported ({raised(error)}): mend it.") from error
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


def _parse(spec: str, weights: str | Path | None, asked: Request) -> Request:
    """What is asked for, with what the spec itself says of it."""
    kind, colon, rest = spec.partition(":")
    if not spec.startswith("file:") and is_donor(spec):
        kind, rest = "file", spec
    elif not colon or kind not in KINDS:
        raise SourceError(f"The model {spec!r} is unknown: {_meant(spec, kind if colon else '')}")
    path, _, query = rest.partition("?")
    options = _options(query, spec)
    said: dict[str, Any] = {"size": _whole_number("size", options, spec)}
    if kind != "zoo":  # whose nets read their own options
        said["classes"] = _whole_number("classes", options, spec, least=0 if kind == "timm" else 1)
        said["dtype"] = _dtype(options, spec)
    random = weights is not None and str(weights) == RANDOM
    if random and kind in ("file", "import"):
        raise SourceError(
            f"Random weights were asked for of {spec!r}, which brings weights of its own: expected a name such as "
            f"zoo:NET or timm:NAME."
        )
    file = None if weights is None or random else chosen(weights)[0]
    said = {key: value for key, value in said.items() if value is not None}
    return replace(asked, spec=f"{kind}:{rest}", path=path, weights=file, random=random, options=options, **said)


def _meant(spec: str, kind: str) -> str:
    """What may be meant by a name that says of no library where it is from."""
    path = Path(spec.partition("?")[0])
    if spec in _imported:
        return f"write 'import:{spec}' for the function of your file."
    if path.suffix == ".py" or kind.endswith(".py"):
        return "expected a function in that file that returns the module; name both, --import FILE.py import:FUNCTION."
    if path.suffix in WEIGHTS:
        return (
            "expected what the weights belong to, import:FUNCTION of your own file or a name such as timm:NAME; give "
            "the file as weights=, on the command line --bottom-weights or --top-weights."
        )
    known = f"expected {', '.join(f'{k}:...' for k in KINDS)}, or a donor folder."
    if (path / "config.json").is_file():
        return f"the folder holds a model of Hugging Face's kind: write 'hf:{spec}'."
    if path.is_dir():
        return f"the folder holds no card.json, as `modelstitch train` writes it; {known}"
    return did_you_mean(f"{found}:{spec.partition(':')[2]}" for found in near(kind, KINDS)) or known


def _options(query: str, spec: str) -> dict[str, str]:
    items = [item.partition("=") for item in query.split("&") if item]
    unread = next((key for key, equals, _ in items if not equals), None)
    if unread is not None:
        raise SourceError(f"The option {unread!r} of {spec!r} cannot be read: expected 'name=value'.")
    return {key: value for key, _, value in items}


def _dtype(options: dict[str, Any], spec: str) -> torch.dtype | None:
    text = options.pop("dtype", None)
    if text is None:
        return None
    if text not in DTYPES:
        raise SourceError(f"The option dtype={text} of {spec!r} is unknown: {among(text, DTYPES)}")
    found: torch.dtype = getattr(torch, text)
    return found


def _whole_number(key: str, options: dict[str, Any], spec: str, least: int = 1) -> int | None:
    text = options.pop(key, None)
    if text is None:
        return None
    if not text.isdecimal() or int(text) < least:
        raise SourceError(f"The option {key}={text} of {spec!r} cannot be used: expected a number of {least} or more.")
    return int(text)


def _make(request: Request) -> Made:
    kind = request.kind
    own: dict[str, Callable[[Request], Made]] = {"zoo": _zoo, "file": _folder, "import": _import}
    make = own[kind] if kind in own else import_module(_LOADERS[kind], __package__).make
    with torch.random.fork_rng(devices=[]), torch.device("meta") if request.meta else nullcontext():
        torch.manual_seed(request.seed)
        made: Made = make(request)
    return made


def _zoo(request: Request) -> Made:
    from ..zoo.nets import build

    shape = request.input_shape or (3, 32, 32)
    written = request.spec.removeprefix("zoo:")
    defaults = {"in_channels": shape[0]} | ({} if request.classes is None else {"classes": request.classes})
    if "small-resnet" in written and request.input_shape is None:
        shape, defaults["in_channels"] = (1, 8, 8), 1
    module: nn.Module = build(written, seed=request.seed, **defaults)
    request.options.clear()
    return Made(module, torch.zeros(2, *shape))


def _folder(request: Request) -> Made:
    from ..zoo.donors import load_donor

    donor = load_donor(Path(request.path), step=_whole_number("step", request.options, request.spec))
    first = next(p for p in donor.module.parameters() if p.ndim == 4 or p.ndim == 2)
    usual = (8, 8) if first.shape[1] == 1 else (32, 32)
    shape = request.input_shape or (int(first.shape[1]), *(usual if first.ndim == 4 else ()))
    recipe = donor.card.get("identity", {}).get("recipe", {})
    trained_on = (recipe.get("base") or recipe).get("n_fit")
    return Made(
        donor.module,
        torch.zeros(2, *shape),
        trained_on=trained_on,
        net=str(donor.card["net"]),
        origin=donor.origin,
        suffix=f"-step{donor.card['step']}" if "step" in donor.card else "",
    )


def _import(request: Request) -> Made:
    if request.path not in _imported:
        hint = closest(request.path, _imported) if _imported else _NO_FILE
        raise SourceError(f"No imported function is called {request.path!r}: {hint}")
    result = _call(request)
    if isinstance(result, nn.Module):
        if request.input_shape is None:
            raise SourceError(
                f"The function {request.path!r} returns a module alone: expected (module, example), or the shape "
                "of one sample: data to see, input_shape=(3, 32, 32), or --input-shape 3,32,32."
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
            if isinstance(module, nn.Module) and _without_memory(module):
                return result
        except Exception:  # code that reads numbers while it builds, or loads weights of its own: built for real below
            pass
    try:
        with torch.device("cpu"):
            return function()
    except Exception as error:  # whatever the user's own code raises
        raise SourceError(f"The function {request.path!r} fails ({raised(error)}): mend it.") from error


def _without_memory(module: nn.Module) -> bool:
    return all(t.device.type == "meta" for t in module.state_dict().values())


def _image_shape(example: Any) -> tuple[int, ...]:
    """(channels, height, width) of an example of images; empty of any other."""
    return tuple(example.shape[1:]) if isinstance(example, torch.Tensor) and example.ndim == 4 else ()


def _to_meta(example: Any) -> Any:
    return pytree.tree_map_only(torch.Tensor, lambda tensor: tensor.to("meta"), example)
