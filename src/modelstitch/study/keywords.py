"""The question as keywords: what editors complete, what ``help()`` and ``--help`` say, and how keywords are read.

No torch.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from ..engine.fit.options import FitOptions, FitSpec
from ..errors import StudyError
from ..support.mistakes import sentence, unknown
from .question import Comparison, Normalisation, Question

if TYPE_CHECKING:
    from ..data.data import Data
    from ..engine.fit.objectives import OwnLoss
    from ..network import Network

F = TypeVar("F", bound=Callable[..., Any])


class StitchOptions(FitOptions, total=False):
    """What ``modelstitch.stitch`` takes as keywords; ``Question`` says what they are."""

    family: str
    objective: str | OwnLoss | tuple[str | OwnLoss, ...]
    seed: int
    samples: int | None
    normalisation: Normalisation
    second: Data | None
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
    seeds: Sequence[int]
    samples: int | Sequence[int] | None
    normalisation: Normalisation
    other_seeds: Mapping[str, Network] | None
    second: Data | None
    expected_error: float | Mapping[str, float] | None
    error_tolerance: float | None


class MatrixOptions(TypedDict, total=False):
    """What ``modelstitch.matrix`` takes as keywords: what closed forms depend on."""

    family: str | Sequence[str]
    seed: int
    samples: int | None
    batch_size: int
    augment: bool
    budget: Literal["top", "all"]
    positions: int | None
    sums: Literal["float64", "float32"]
    expected_error: float | Mapping[str, float] | None
    error_tolerance: float | None


_FIELDS = {
    "family": "families",
    "objective": "objectives",
    "seed": "seeds",
}  # keywords for one value: the fields that they set


def field_of(keyword: str) -> FieldInfo:
    """The field that a keyword sets; one number of samples is an option of the fit."""
    name = _FIELDS.get(keyword, keyword)
    return FitSpec.model_fields[name] if name in FitSpec.model_fields else Question.model_fields[name]


def default_of(keyword: str) -> Any:
    """What a keyword has where nothing is said: one value in place of a list of one."""
    default = field_of(keyword).default
    single = keyword in _FIELDS and isinstance(default, tuple)
    return default[0] if single else (default or None) if isinstance(default, dict) else default


def read(
    options: type,
    values: Mapping[str, Any],
    networks: Sequence[str],
    own: Iterable[str] = (),
    *,
    seam: Sequence[Any] = (),
) -> Comparison:
    """Read a question from keywords.

    Args:
        options: the keywords that there are: ``StitchOptions`` or ``CompareOptions``.
        values: as they were given.
        networks: their names.
        own: names of the user's own objectives.
        seam: of one stitch between two networks, as a list of it; () for a comparison.

    Raises:
        StudyError: naming the first keyword that is unknown or wrong.
    """
    known = list(options.__annotations__)
    given: dict[str, Any] = {"networks": tuple(networks)}
    for name, value in values.items():
        if name not in known:
            raise StudyError(unknown(name, known))
        if value is not None or name not in ("samples", "other_seeds", "second"):
            given[_FIELDS.get(name, name)] = value
    called = {field: name for name, field in _FIELDS.items() if name in known}
    if seam:  # several objectives are stages of one
        given |= {"layers": seam, "pairs": ((networks[0], networks[-1]),), "controls": ()}
        given |= {field: [given[field]] for field in ("objectives", "seeds") if field in given}
        called["layers"] = "at"
    try:
        return Comparison.model_validate(given, context={"own": tuple(own)})
    except ValidationError as error:
        raise StudyError(sentence(error, lambda _: known, called=called)) from error


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
        function.__signature__ = own.replace(parameters=[*shown[:at], *asked, *shown[at:]])  # type: ignore[attr-defined]
        lines = [
            textwrap.fill(
                f"{p.name}: {_told(p)}", 120, initial_indent=" " * 8, subsequent_indent=" " * 12, break_on_hyphens=False
            )
            for p in asked
        ]
        function.__doc__ = re.sub(r" {8}\*\*question:[^\n]*", lambda _: "\n".join(lines), function.__doc__ or "")
        return function

    return decorate


def _told(parameter: inspect.Parameter) -> str:
    words = field_of(parameter.name).description or ""
    words = words[:1].lower() + words[1:]
    usual = "none" if parameter.default is None else repr(parameter.default)
    return words if "by default" in words else f"{words.rstrip('.')}; {usual} by default."
