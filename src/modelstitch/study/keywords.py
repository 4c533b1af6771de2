"""Python's keywords for a question, for editors, type checkers and ``help()``; ``Question`` says what they are."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar

from pydantic.fields import FieldInfo

from ..engine.fit.options import AnchorsBy, FitOptions, FitSpec
from .question import FIELDS, Normalisation, Question

if TYPE_CHECKING:
    from ..data.data import Data
    from ..data.tasks.task import Each, Task
    from ..engine.fit.objectives import OwnLoss
    from ..network import Network

F = TypeVar("F", bound=Callable[..., Any])


class StitchOptions(FitOptions, total=False):
    """What ``modelstitch.stitch`` takes as keywords; ``Question`` says what they are."""

    family: str
    objective: str | OwnLoss | tuple[str | OwnLoss, ...]
    seed: int
    samples: int | None
    anchors: int | None
    normalisation: Normalisation
    second: Data | None
    metric: Each | Task | None
    expected_error: float | Mapping[str, float] | None
    error_tolerance: float | None


class CompareOptions(FitOptions, total=False):
    """What ``modelstitch.compare`` takes as keywords; ``Question`` says what they are."""

    pairs: str | Sequence[tuple[str, str]]
    both: bool
    layers: str | Sequence[str | tuple[str, str]]
    family: str | Sequence[str]
    objective: str | OwnLoss | Sequence[str | OwnLoss | tuple[str | OwnLoss, ...]]
    controls: str | Sequence[str] | None
    starts: int
    seeds: Sequence[int]
    samples: int | Sequence[int] | None
    anchors: int | Sequence[int] | None
    normalisation: Normalisation
    unfreeze: str | None
    other_seeds: Mapping[str, Network] | None
    second: Data | None
    metric: Each | Task | None
    expected_error: float | Mapping[str, float] | None
    error_tolerance: float | None


class MatrixOptions(TypedDict, total=False):
    """What ``modelstitch.matrix`` takes as keywords: what closed forms depend on."""

    family: str | Sequence[str]
    seed: int
    samples: int | None
    anchors: int | None
    anchors_by: AnchorsBy | Sequence[int] | None
    batch_size: int
    augment: bool
    budget: Literal["top", "all"]
    positions: int | None
    sums: Literal["float64", "float32"]
    expected_error: float | Mapping[str, float] | None
    error_tolerance: float | None


BESIDE = {  # keywords that say what data are measured by: records have it from the data
    "metric": FieldInfo(
        default=None,
        description="What the error of a sample is, in place of the task's own: a function (output, labels) -> (n,), "
        "smaller is better, or a Task.",
    )
}


def field_of(keyword: str) -> FieldInfo:
    """The field that a keyword sets; one number of samples is an option of the fit."""
    if keyword in BESIDE:
        return BESIDE[keyword]
    name = FIELDS.get(keyword, keyword)
    return FitSpec.model_fields[name] if name in FitSpec.model_fields else Question.model_fields[name]


def default_of(keyword: str) -> Any:
    """What a keyword has where nothing is said: one value in place of a list of one."""
    default = field_of(keyword).default
    single = keyword in FIELDS and isinstance(default, tuple)
    return default[0] if single else (default or None) if isinstance(default, dict) else default


def explained(options: type) -> Callable[[F], F]:
    """Show ``help()`` and editors the keywords of a function that takes ``**question``, with defaults and words."""

    def decorate(function: F) -> F:
        own = inspect.signature(function)
        shown = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        at = sum(p.kind is not inspect.Parameter.KEYWORD_ONLY for p in shown)
        hints = options.__annotations__
        asked = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=default_of(name),
                annotation=getattr(hint, "__forward_arg__", hint),
            )
            for name, hint in hints.items()
        ]
        asked.sort(key=lambda parameter: parameter.name in FitOptions.__annotations__)
        parameters = [*shown[:at], *asked, *shown[at:]]
        function.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        function.__doc__ = re.sub(
            r"(?m)^( *)\*\*question:.*$", lambda at: _keywords(asked, at[1]), function.__doc__ or ""
        )
        return function

    return decorate


def _keywords(asked: list[inspect.Parameter], indent: str) -> str:
    """A line for each keyword; from Python 3.13 on docstrings are kept without the indent of their code."""
    lines = textwrap.TextWrapper(120, initial_indent=indent, subsequent_indent=f"{indent}    ", break_on_hyphens=False)
    return "\n".join(lines.fill(f"{p.name}: {_told(p)}") for p in asked)


def _told(parameter: inspect.Parameter) -> str:
    words = field_of(parameter.name).description or ""
    words = words[:1].lower() + words[1:]
    usual = "none" if parameter.default is None else repr(parameter.default)
    return words if "by default" in words else f"{words.rstrip('.')}; {usual} by default."
