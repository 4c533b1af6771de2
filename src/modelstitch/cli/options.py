"""Options of the command line that are fields of the question: name, type, default and words are the field's own."""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from ..engine.controls import CONTROLS
from ..engine.fit.options import ANCHORS_BY, FitSpec
from ..study.keywords import default_of, field_of
from ..study.question import NONE
from ..study.spec import StudySpec
from . import common
from .common import Decorator

FIT = (
    "family",
    "objective",
    *FitSpec.model_fields,
    "anchors",
    "normalisation",
    "second",
    "expected_error",
    "error_tolerance",
)  # of a fit
GRID = ("layers", "controls", "starts", "both", "unfreeze")  # of a comparison, beside them
_NAMES = {"samples": "--fit-samples", "controls": "--control", "both": "--both/--one-way"}
_SEVERAL = ("family", "objective", "layers", "controls", "expected_error")


def asked(*keywords: str) -> Decorator:
    """The options of these keywords, in their order; the command is called with the keywords that Python has."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for keyword in reversed(keywords):
            function = option(keyword)(function)
        return function

    return decorate


def option(keyword: str, instead: Any = None) -> Decorator:
    """The option of one keyword, with its own default or one that stands instead."""
    field = StudySpec.model_fields[keyword] if keyword == "limit" else field_of(keyword)
    default = field.default if keyword == "limit" else default_of(keyword) if instead is None else instead
    dashed = keyword.replace("_", "-")
    kind = _type(field.annotation, field.metadata)
    name = _NAMES.get(keyword, f"--{dashed}/--no-{dashed}" if kind is click.BOOL else f"--{dashed}")
    if keyword == "controls":
        kind = click.Choice([*CONTROLS, NONE])
    more: dict[str, Any] = {"type": kind}
    if keyword in _SEVERAL:
        more = {"type": kind if keyword == "controls" else click.STRING, "multiple": True}
        default = None if default is None else (default,)
    if keyword in _READ:
        more |= {"type": click.STRING, "callback": _READ[keyword]}
    if keyword == "controls":
        more["callback"] = lambda ctx, param, value: value or None
    words = f"{field.description} May be repeated." if keyword in _SEVERAL else field.description
    return click.option(name, keyword, default=default, show_default=True, help=words, **more)


def _type(hint: Any, metadata: list[Any]) -> click.ParamType[Any]:
    """How the text of an option is read, as its field is checked."""
    if get_origin(hint) is Annotated:
        hint, *extra = get_args(hint)
        metadata = [part for item in extra for part in (item.metadata if isinstance(item, FieldInfo) else [item])]
    if get_origin(hint) in (Union, UnionType):
        parts = [part for part in get_args(hint) if part is not NoneType]
        return _type(parts[0], metadata) if len(parts) == 1 else click.STRING
    if get_origin(hint) is Literal:
        return click.Choice(get_args(hint))
    if hint in (int, float):
        return _range(hint, metadata)
    return click.BOOL if hint is bool else click.STRING


def _range(kind: type, metadata: list[Any]) -> click.ParamType[Any]:
    """Numbers within the bounds that a field's metadata tell."""
    least, above = (next((getattr(m, name) for m in metadata if hasattr(m, name)), None) for name in ("ge", "gt"))
    if kind is int:
        return click.IntRange(min=least)
    return click.FloatRange(min=least if above is None else above, min_open=above is not None)


def _samples(ctx: click.Context, param: click.Parameter, value: str | None) -> int | list[int] | None:
    """One number, or several."""
    found = common.numbers("numbers of examples such as 1000 or 100,1000,10000")(ctx, param, value)
    return found if found is None else found[0] if len(found) == 1 else list(found)


def _layers(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> str | tuple[str, ...]:
    """A word, or seams."""
    return value[0] if value in (("matching",), ("all",)) else value


def _places(ctx: click.Context, param: click.Parameter, value: str) -> str | tuple[str, ...]:
    """A word, or several layers with commas between."""
    return value if value in ("all", "penultimate") else tuple(value.split(","))


def _errors(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> float | dict[str, float] | None:
    """One number for all networks, or one for each name."""
    found: dict[str, float] = {}
    for value in values:
        name, _, number = value.rpartition("=")
        try:
            found[name] = float(number)
        except ValueError as error:
            raise click.BadParameter(f"expected a number such as 8.5, or NAME=8.5, found {value!r}.") from error
    if "" in found and len(found) > 1:
        raise click.BadParameter("expected one number for all networks, or a name before each.")
    return found.get("", found or None)


def _chosen(ctx: click.Context, param: click.Parameter, value: str | None) -> str | list[int] | None:
    """A way, or ids."""
    if value is None or value in ANCHORS_BY:
        return value
    ids = common.numbers(f"one of {', '.join(ANCHORS_BY)}, or ids such as 3,17,40", least=None)
    return list(ids(ctx, param, value) or ())


_READ: dict[str, Callable[..., Any]] = {
    "samples": _samples,
    "anchors": _samples,
    "anchors_by": _chosen,
    "layers": _layers,
    "downstream": _places,
    "expected_error": _errors,
}


def donors(function: Callable[..., Any]) -> Callable[..., Any]:
    """BOTTOM and TOP, the data, and how both are made: what ``common.opened`` takes."""
    return click.argument("bottom")(click.argument("top")(_options(function)))


def several(function: Callable[..., Any]) -> Callable[..., Any]:
    """NETWORKS, any number of them, the data, and how all are made."""
    return click.argument("networks", nargs=-1, required=True)(_options(function))


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The data, and how networks are made."""
    for option in (
        common.views,
        common.imports,
        asked("limit"),
        common.random_weights,
        common.weights_of("top"),
        common.weights_of("bottom"),
        common.data,
    ):
        function = option(function)
    return function


def machine(function: Callable[..., Any]) -> Callable[..., Any]:
    """--memory and --tensorboard: how it runs, and no part of what is asked."""
    function = click.option("--tensorboard", type=click.Path(file_okay=False), help="Folder for the curves of fits.")(
        function
    )
    return click.option(
        "--memory",
        type=click.FloatRange(0, min_open=True),
        help="Gigabytes for fits beside the donors, 2 by default; sets how many stitches run at a time.",
    )(function)
