"""The networks of the zoo by name: a donor is described by plain data, ``preact-resnet18?width=16``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from ...errors import SourceError
from ...support.memory import available_bytes, readable
from ...support.words import hint
from .chains import myrtle, vgg
from .cifar_resnet import resnet, resnet164
from .preact import preact_resnet18
from .simple import fcn, mlp
from .small import small_resnet
from .vit import vit

_USUAL = 1024  # of an option: beyond it the size is looked at first

NETS: dict[str, Callable[..., nn.Module]] = {
    "small-resnet": small_resnet,
    "preact-resnet18": preact_resnet18,
    "resnet20": lambda width=16, classes=10, in_channels=3: resnet(20, width, classes, in_channels),
    "resnet32": lambda width=16, classes=10, in_channels=3: resnet(32, width, classes, in_channels),
    "resnet56": lambda width=16, classes=10, in_channels=3: resnet(56, width, classes, in_channels),
    "resnet164": resnet164,
    "myrtle": myrtle,
    "vgg11": lambda width=64, classes=10, in_channels=3: vgg(11, width, classes, in_channels),
    "vgg16": lambda width=64, classes=10, in_channels=3: vgg(16, width, classes, in_channels),
    "vit": vit,
    "mlp": mlp,
    "fcn": fcn,
}


def parse_net(spec: str) -> tuple[str, dict[str, int]]:
    """Read ``name?option=number&...`` (a leading ``zoo:`` is allowed) into the name and its options.

    Raises:
        SourceError: if the net or an option is not known (close names are offered), or a value is no number.
    """
    name, _, query = spec.removeprefix("zoo:").partition("?")
    options: dict[str, int] = {}
    for item in filter(None, query.split("&")):
        key, _, value = item.partition("=")
        if not value.isdecimal() or len(value) > 9 or int(value) < 1:
            raise SourceError(
                f"The option {item[:40]!r} of {spec[:80]!r} cannot be read: expected 'name=number', 1 or more, of "
                f"at most 9 digits."
            )
        options[key] = int(value)
    check_net(name, options)
    return name, options


def format_net(name: str, options: Mapping[str, int]) -> str:
    """The one written form of a net and its options, sorted."""
    query = "&".join(f"{key}={options[key]}" for key in sorted(options))
    return f"{name}?{query}" if query else name


def check_net(name: str, options: Mapping[str, Any]) -> None:
    """Refuse a net or an option that the zoo does not have."""
    library = name.partition(":")[0]
    if library in ("timm", "torchvision", "hf", "openclip", "import", "file"):
        raise SourceError(
            f"{name!r} is no net of the zoo, and only those are trained here: expected one of {', '.join(NETS)}; train "
            f"yours with its own library, then name it in compare as it is, its weights with --bottom-weights."
        )
    if name not in NETS:
        raise SourceError(f"The zoo has no net {name!r}: {_offer(name, list(NETS))}")
    known = list(inspect.signature(NETS[name]).parameters)
    for key in options:
        if key not in known:
            raise SourceError(f"The net {name!r} has no option {key!r}: {_offer(key, known)}")


def build(spec: str | Mapping[str, Any], *, seed: int = 0, **defaults: int) -> nn.Module:
    """A freshly initialised network.

    Args:
        spec: ``"preact-resnet18?width=16"`` or ``{"net": "preact-resnet18", "width": 16}``.
        seed: of the initial parameters; the global generator is left as it was.
        defaults: used where ``spec`` is silent and the net has such an option (``classes``, ``in_channels``).

    Raises:
        SourceError: if the net or an option is not known.
        MissingExtraError: if the net needs a package that is not installed.
    """
    if isinstance(spec, str):
        name, options = parse_net(spec)
    else:
        options = {key: value for key, value in spec.items() if key != "net"}
        name = str(spec.get("net", ""))
        check_net(name, options)
    known = inspect.signature(NETS[name]).parameters
    options = {**{key: value for key, value in defaults.items() if key in known}, **options}
    if any(value > _USUAL for value in options.values()) and torch.get_default_device().type != "meta":
        _check_size(name, options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETS[name](**options)


def _check_size(name: str, options: Mapping[str, int]) -> None:
    """Refuse a network that does not fit into memory before it is made."""
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        module = NETS[name](**options)
    size = sum(value.numel() * value.element_size() for value in module.state_dict().values())
    free = available_bytes()
    if free is not None and size > free:
        raise SourceError(
            f"The net {format_net(name, options)!r} takes {readable(size)}, and {readable(free)} are free: expected "
            "one that fits; choose smaller options."
        )


def _offer(name: str, known: list[str]) -> str:
    return hint(name, known, alike=0.4)
