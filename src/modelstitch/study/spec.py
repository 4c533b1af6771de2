"""What a study is: donors, pairs, layers, families, objectives, controls and seeds, read from TOML.

A spec is data. It names models by closed registries ("timm:resnet18") and files by path; it holds no import
paths and no code. Paths are relative to the folder the command runs in, as on the command line.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from ..engine.controls import no_networks
from ..engine.fit.options import Count, FitSpec
from ..errors import StudyError
from ..support.mistakes import sentence
from ..support.reading import UnfitError, read_toml
from .question import Question

_MODEL = re.compile(r"[a-z][a-z0-9_]*:\S+")
_NAME = re.compile(r"[^\n\r\t]*\S[^\n\r\t]*")

Seed = Annotated[int, Field(strict=True, ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class DonorRef(_Strict):
    """Where a donor comes from: a model name (with optional weights), or a folder that holds a donor.

    In TOML a donor is a string (``"timm:resnet18"``, ``"donors/seed0"``) or a table
    (``{model = "timm:resnet18", weights = "w.safetensors"}``,
    ``{model = "timm:resnet18", weights = "random", seed = 1}``, ``{folder = "donors/seed0"}``). A name without weights
    means its published ones. With ``mean`` and ``std``, a number or one for each channel, it sees raw images normalised
    so, resized to its size, in place of its own preprocessing.
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


class StudySpec(Question):
    """A declared study: a question, and where its networks and data come from.

    It is checked when it is made, and does not change.
    """

    name: str = Field(description="What reports call it.")
    data: Annotated[str, Field(min_length=1)] = Field(
        description="The data: digits, parquet:DIR, folder:DIR, text:FILE, ..."
    )
    donors: dict[str, DonorRef] = Field(description="Name: where the network comes from.")
    task: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="What labels mean: classification, regression, multi-label, dense, next-token, masked-token, "
        "embedding (no labels), retrieval or retrieval:K; by default what the data say.",
    )
    metric: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="What the error of a sample is, in place of the task's own: absolute, cross-entropy, top-5, "
        "any-wrong or overlap.",
    )
    limit: Count | None = Field(default=None, description="Read at most so many samples of each part of the data.")
    engine: Literal["local", "ray"] = Field(default="local", description="Where the cells run.")

    @property
    def names(self) -> tuple[str, ...]:
        """Of the donors."""
        return tuple(self.donors)

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

    @model_validator(mode="after")
    def _other_seeds_are_donors(self) -> StudySpec:
        for name in self.other_seeds.values():
            if name not in self.donors:
                raise ValueError(
                    f"names of the networks {', '.join(map(repr, self.donors))} in other_seeds, not {name!r}"
                )
        return self

    def identity(self) -> dict[str, Any]:
        """Plain JSON values of all that decides the results: everything but the engine."""
        unused = {"engine", *(name for name in ("limit", "task", "metric") if getattr(self, name) is None)}
        return {key: value for key, value in super().identity().items() if key not in unused}


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
        raise StudyError(sentence(error, _known, where=where)) from error


def _known(place: tuple[int | str, ...]) -> list[str]:
    models: dict[str, type[BaseModel]] = {"fit": FitSpec, "donors": DonorRef}
    model = models.get(str(place[0]), StudySpec) if len(place) > 1 else StudySpec
    return [*model.model_fields, *(FitSpec.model_fields if model is StudySpec else ())]


def _checked_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("a name of one line")
    return value
