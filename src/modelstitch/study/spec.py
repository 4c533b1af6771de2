"""What a study is: donors, pairs, layers, families, objectives, controls and seeds, read from TOML.

A spec is data. It names models by closed registries ("timm:resnet18") and files by path; it holds no import
paths and no code. Paths are relative to the folder the command runs in, as on the command line.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from ..engine.controls import no_networks
from ..engine.fit.options import Count, FitSpec, NotNegative
from ..errors import StitchError, StudyError
from ..notation import parse
from ..support.reading import UnfitError, read_toml
from .question import (
    FAMILY,
    LAYERS,
    NORMALISATION,
    OBJECTIVE,
    OBJECTIVES_KNOWN,
    OTHER_SEED,
    SEEDS,
    Normalisation,
    controls_known,
    written_controls,
    written_objective,
)  # fmt: skip

_MODEL = re.compile(r"[a-z][a-z0-9_]*:\S+")
_NAME = re.compile(r"[^\n\r\t]*\S[^\n\r\t]*")
_FAMILY = re.compile(r"[a-z][a-z0-9-]*(:[A-Za-z0-9._-]+)?")


def _family(value: str) -> str:
    if not _FAMILY.fullmatch(value):
        raise ValueError("a family such as 'affine', 'low-rank:4' or 'conv:3'")
    return value


def _distinct(values: Any) -> Any:
    if not isinstance(values, list | tuple):
        raise ValueError("a list")
    if not values:
        raise ValueError("a list with at least one entry")
    if len({repr(v) for v in values}) < len(values):
        raise ValueError("a list without repetitions")
    return tuple(values)


Family = Annotated[str, AfterValidator(_family)]
Seed = Annotated[int, Field(strict=True, ge=0)]


def _one(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _numbers(value: Any) -> Any:
    return (
        value
        if isinstance(value, list | tuple) and not value
        else _distinct([value] if isinstance(value, int) else value)
    )


def _objectives(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        value = [value]
    try:
        return [written_objective(one) for one in value]
    except StitchError as error:
        raise ValueError(OBJECTIVES_KNOWN) from error


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(part, str) for part in value)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DonorRef(_Strict):
    """Where a donor comes from: a model name (with optional weights), or a folder that holds a donor.

    In TOML a donor is a string (``"timm:resnet18"``, ``"donors/seed0"``) or a table
    (``{model = "timm:resnet18", weights = "w.safetensors"}``, ``{model = "timm:resnet18", weights = "random", seed = 1}``,
    ``{folder = "donors/seed0"}``). A name without weights means its published ones. With ``mean`` and ``std``, a number
    or one for each channel, it sees raw images normalised so, resized to its size, in place of its own preprocessing.
    """

    model: str | None = None
    weights: str | None = None
    folder: str | None = None
    mean: float | tuple[float, ...] | None = None
    std: float | tuple[float, ...] | None = None
    seed: Seed | None = None

    @model_serializer(mode="wrap")
    def _said(self, usual: Any) -> dict[str, Any]:
        kept: dict[str, Any] = usual(self)
        return {key: value for key, value in kept.items() if value is not None or key not in ("mean", "std", "seed")}

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"model": value} if _MODEL.fullmatch(value) else {"folder": value}
        return value

    @model_validator(mode="after")
    def _one_origin(self) -> DonorRef:
        if (self.model is None) == (self.folder is None):
            raise ValueError("either a model name or a donor folder")
        if self.folder is not None and (self.weights is not None or not self.folder.strip()):
            raise ValueError("a donor folder alone, since it holds its own weights")
        if self.model is not None and not _MODEL.fullmatch(self.model):
            raise ValueError("a model name such as 'timm:resnet18' or 'zoo:resnet20'")
        if (self.mean is None) != (self.std is None):
            raise ValueError("both mean and std, or neither")
        drawn = self.weights == "random" or (str(self.model).startswith("zoo:") and self.weights is None)
        if self.seed is not None and not drawn:
            raise ValueError("a seed of random weights alone, weights = 'random'")
        return self


class StudySpec(_Strict):
    """A declared study. Every field is checked when it is made; it does not change afterwards.

    Attributes:
        name: what reports call it.
        data: a data spec, e.g. ``"digits"`` or ``"parquet:DIR"``.
        donors: name -> where it comes from.
        pairs: ``(bottom, top)`` by donor name, or "all" ordered pairs of two different donors.
        layers: "matching" (cuts at the same place), "all" (every cut to every cut), or seams such as
            ``"layer2"`` and ``"layer2 -> blocks.4"``, for every pair.
        families, objectives, controls, seeds: the axes of the grid; without ``controls`` all that the data can serve. One
            family or objective may stand alone, also under the names that Python has, ``family`` and ``objective``; stages of one
            objective are "distill+task" or a list in the list; ``controls = "none"`` is none.
        samples: several numbers of fit examples, for a curve, here or under ``fit``; none: what ``fit`` says.
        fit: how stitchers are fitted.
        normalisation: what BatchNorm does in the stitched model.
        other_seeds: top -> another donor of its kind, stitched into it as the control "other-seed".
        second: a data spec whose test split is measured on, too, or a corruption such as "noise:0.3" of the data's own.
        limit: read at most so many samples of each part of the data.
        expected_error: what donors err on by themselves, of all or by name; others are refused. Not part of what the study *is*.
        error_tolerance: how far off that may be.
        engine: where the cells run; not part of what the study *is*.
    """

    name: str
    data: Annotated[str, Field(min_length=1)]
    donors: dict[str, DonorRef]
    pairs: Literal["all"] | tuple[tuple[str, str], ...] = "all"
    layers: Literal["matching", "all"] | tuple[str, ...] = LAYERS
    families: Annotated[tuple[Family, ...], BeforeValidator(_distinct), BeforeValidator(_one)] = (FAMILY,)
    objectives: Annotated[tuple[str, ...], BeforeValidator(_distinct), BeforeValidator(_objectives)] = (OBJECTIVE,)
    controls: tuple[str, ...] | None = None
    seeds: Annotated[tuple[Seed, ...], BeforeValidator(_distinct)] = SEEDS
    samples: Annotated[tuple[Count, ...], BeforeValidator(_numbers)] = ()
    fit: FitSpec = FitSpec()
    normalisation: Normalisation = NORMALISATION
    other_seeds: dict[str, str] = {}
    second: Annotated[str, Field(min_length=1)] | None = None
    limit: Count | None = None
    expected_error: NotNegative | dict[str, NotNegative] | None = None
    error_tolerance: NotNegative | None = None
    engine: Literal["local", "ray"] = "local"

    @model_validator(mode="before")
    @classmethod
    def _as_in_python(cls, values: Any) -> Any:
        """Python's own names of two fields, and its place of a curve over fit examples."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        for one, several in (("family", "families"), ("objective", "objectives")):
            if one in values:
                if several in values:
                    raise ValueError(f"either {one} or {several}, not both")
                values[several] = values.pop(one)
        fit = values.get("fit")
        if isinstance(fit, dict) and isinstance(fit.get("samples"), list | tuple):
            if "samples" in values:
                raise ValueError("samples in one place, not also under fit")
            values["fit"], values["samples"] = {k: v for k, v in fit.items() if k != "samples"}, fit["samples"]
        elif isinstance(values.get("samples"), int) and (fit is None or isinstance(fit, dict)):
            if fit and "samples" in fit:
                raise ValueError("samples in one place, not also under fit")
            values["fit"] = {**(fit or {}), "samples": values.pop("samples")}  # one number is no curve
        return values

    @field_validator("name")
    @classmethod
    def _name_is_text(cls, value: str) -> str:
        return _checked_name(value)

    @field_validator("donors")
    @classmethod
    def _donor_names(cls, value: dict[str, DonorRef]) -> dict[str, DonorRef]:
        if not value:
            raise ValueError("at least one donor")
        for name in value:
            _checked_name(name)
            if "->" in name or name in no_networks():
                known = " and ".join(map(repr, sorted(no_networks())))
                raise ValueError(f"donor names without '->' and other than {known}, not {name!r}")
        return value

    @field_validator("pairs", mode="before")
    @classmethod
    def _pairs_shape(cls, value: Any) -> Any:
        if value == "all":
            return value
        whole = isinstance(value, list | tuple) and value
        if not whole or not all(
            isinstance(p, list | tuple) and len(p) == 2 and all(isinstance(n, str) for n in p) for p in value
        ):
            raise ValueError("'all' or a list of [bottom, top] donor names")
        return _distinct(value)

    @field_validator("layers", mode="before")
    @classmethod
    def _layers_shape(cls, value: Any) -> Any:
        if value in ("matching", "all"):
            return value
        value = [value] if isinstance(value, str) else value
        if isinstance(value, list | tuple):  # a pair of layers is a seam, as in Python
            value = [" -> ".join(n) if _is_pair(n) else n for n in value]
        if not isinstance(value, list | tuple) or not value or not all(isinstance(n, str) for n in value):
            raise ValueError("'matching', 'all', or a list of layers such as 'layer2' or 'layer2 -> blocks.4'")
        for text in value:
            try:
                seam = parse(text)
            except StitchError as error:
                raise ValueError(f"layers that can be read ({error})") from error
            if seam.bottom or seam.top:
                raise ValueError(f"layers without network names, since they serve every pair, not {text!r}")
        return _distinct(value)

    @field_validator("controls", mode="before")
    @classmethod
    def _controls_known(cls, value: Any) -> Any:
        if isinstance(value, list | tuple) and value:
            _distinct(value)
        try:
            return written_controls(value)
        except StitchError as error:
            raise ValueError(controls_known()) from error

    @model_validator(mode="after")
    def _other_seeds_name_donors(self) -> StudySpec:
        for top, other in self.other_seeds.items():
            for name in (top, other):
                if name not in self.donors:
                    raise ValueError(f"other seeds among the donors {', '.join(self.donors)}, not {name!r}")
            if top == other:
                raise ValueError(f"another donor than {top!r} as its other seed")
        return self

    @model_validator(mode="after")
    def _other_seeds_are_named(self) -> StudySpec:
        if self.controls is not None and OTHER_SEED in self.controls and not self.other_seeds:
            raise ValueError("other_seeds = {top = \"another donor\"} beside the control 'other-seed'")
        return self

    @model_validator(mode="after")
    def _expected_errors_name_donors(self) -> StudySpec:
        for name in self.expected_error if isinstance(self.expected_error, dict) else ():
            if name not in self.donors:
                raise ValueError(f"expected errors of the donors {', '.join(self.donors)}, not {name!r}")
        return self

    @model_validator(mode="after")
    def _pairs_name_donors(self) -> StudySpec:
        if self.pairs == "all":
            if len(self.donors) < 2:
                raise ValueError("at least two donors where pairs = 'all'")
            return self
        for name in (name for pair in self.pairs for name in pair):
            if name not in self.donors:
                raise ValueError(f"pairs of the donors {', '.join(self.donors)}, not {name!r}")
        return self

    def ordered_pairs(self) -> tuple[tuple[str, str], ...]:
        """The ``(bottom, top)`` pairs, spelled out."""
        if self.pairs == "all":
            return tuple((b, t) for b in self.donors for t in self.donors if b != t)
        return tuple(self.pairs)

    def identity(self) -> dict[str, Any]:
        """Plain JSON values of all that decides the results: everything but the engine."""
        unused = {name for name in ("other_seeds", "second", "limit") if not getattr(self, name)}
        return self.model_dump(mode="json", exclude={"engine", "expected_error", "error_tolerance", *unused})


def load_spec(path: str | Path) -> StudySpec:
    """Read a study from a TOML file.

    Raises:
        StudyError: the file cannot be read or is no TOML, or a value is not what it should be
            (where, what was expected, what was found).
    """
    try:
        values = read_toml(Path(path))
    except (OSError, UnfitError) as error:
        raise StudyError(f"Cannot read the study {path}: expected a TOML file, found {error}.") from error
    return parse_spec(values, where=str(path))


def parse_spec(values: dict[str, Any], *, where: str = "The study") -> StudySpec:
    """Check plain values (as TOML gives them) and make a spec of them.

    Raises:
        StudyError: the first value that is not what it should be, and how many more there are.
    """
    try:
        return StudySpec.model_validate(values)
    except ValidationError as error:
        raise StudyError(_sentence(error, where)) from error


def _sentence(error: ValidationError, where: str) -> str:
    problems = error.errors(include_url=False)
    some = problems[:20]  # looking for a near name takes its time
    first = next((p for p in some if p["type"] == "extra_forbidden" and _near(p["loc"])), problems[0])
    place = ".".join(str(part) for part in first["loc"])
    more = f" ({len(problems) - 1} more after it)" if problems[1:] else ""
    if first["type"] == "extra_forbidden":
        near = _near(first["loc"])
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(_known(first['loc']))}."
        return f"{where}: {place} is unknown{more}; {hint}"
    if first["type"] == "missing":
        return f"{where}: {place} is missing{more}; expected it to be set."
    expected = str(first["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    found = f", found {_shortened(first['input'])}" if place else ""  # of the whole spec the sentence says it itself
    return f"{where}: {place or 'spec'}: expected {expected}{found}{more}."


def _near(place: tuple[int | str, ...]) -> list[str]:
    return difflib.get_close_matches(str(place[-1]), _known(place), n=1)


def _known(place: tuple[int | str, ...]) -> list[str]:
    models: dict[str, type[BaseModel]] = {"fit": FitSpec, "donors": DonorRef}
    model = models.get(str(place[0]), StudySpec) if len(place) > 1 else StudySpec
    return list(model.model_fields)


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _checked_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("a name of one line")
    return value
