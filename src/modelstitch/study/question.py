"""What may be asked of networks: every field once, with its default, its check and its words. No torch.

Python's keywords, the options of the command line, study files and the names of cells are views of ``Question``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from numbers import Integral
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from ..engine.controls import CONTROLS
from ..engine.fit.options import ANCHORS_BY, SOLVED, Count, FitSpec, NotNegative
from ..errors import DataError, StitchError, StudyError
from ..notation import Seam, parse
from ..support.mistakes import sentence, unknown
from ..support.words import counted

if TYPE_CHECKING:
    from ..data.tasks.task import Task

Normalisation = Literal["frozen", "recalibrated", "batch"]
STAGES = ("task", "distill", "downstream")  # fitted; also one after the other, "downstream+task"
OBJECTIVES = (*SOLVED, *STAGES)
NONE = "none"  # of the controls

_FAMILY = re.compile(r"[a-z][a-z0-9-]*(:[A-Za-z0-9._-]+)?")


def _listed(value: Any) -> Any:
    """Several values as a list, whatever holds them in an order; one value as it is."""
    ordered = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping | Set)
    return list(value) if ordered else value


def _distinct(values: Any) -> tuple[Any, ...]:
    values = _listed(values)
    if not isinstance(values, list):
        raise ValueError("a list")
    if not values:
        raise ValueError("a list with at least one entry")
    if len({repr(v) for v in values}) < len(values):
        raise ValueError("a list without repetitions")
    return tuple(values)


def _pairs(value: Any) -> Any:
    if isinstance(value, str) and value in ("all", "ring"):
        return value
    value = _listed(value)
    if not isinstance(value, list) or not value or not all(_two_names(pair) for pair in value):
        raise ValueError("'all', 'ring' or a list of [bottom, top] names of networks")
    return _distinct([tuple(pair) for pair in value])


def _two_names(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(part, str) for part in value)


def _layers(value: Any) -> Any:
    if isinstance(value, str) and value in ("matching", "all"):
        return value
    several = [value] if isinstance(value, str) else _listed(value)
    if isinstance(several, list):  # a pair of layers is a seam
        several = [str(Seam("", n[0], "", n[1])) if _two_names(n) else n for n in several]
    if not isinstance(several, list) or not several or not all(isinstance(n, str) for n in several):
        raise ValueError(
            "'matching', 'all', or layers such as 'layer2', 'layer2 -> blocks.4' or ('layer2', 'blocks.4')"
        )
    for text in several:
        try:
            seam = parse(text)
        except StitchError as error:
            raise ValueError(f"layers that can be read ({error})") from error
        if seam.bottom or seam.top:
            raise ValueError(f"layers without network names, since they serve every pair, not {text!r}")
    return _distinct(several)


def _families(value: Any) -> Any:
    several = [value] if isinstance(value, str) else _listed(value)
    if not isinstance(several, list):
        raise ValueError(
            "a family such as 'affine', or a list of them (a class of your own is entered first: "
            "ms.stitchers.FAMILIES[cls.family] = cls)"
        )
    return _distinct(several)


def _family(value: str) -> str:
    if not _FAMILY.fullmatch(value):
        raise ValueError("a family such as 'affine', 'low-rank:4' or 'conv:3'")
    return value


def _objectives(value: Any, info: ValidationInfo) -> Any:
    own = (info.context or {}).get("own", ())
    several = _listed(value)
    return _distinct([_stages(one, own) for one in (several if isinstance(several, list) else [several])])


def _stages(value: Any, own: Iterable[str]) -> str:
    """An objective as records call it: "task", or of several stages "distill+task", also written as a list of them."""
    stages = value.split("+") if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else [value]
    names = [stage.strip() if isinstance(stage, str) else stage for stage in stages]
    if not names or any(name not in (*OBJECTIVES, *own) for name in names):
        known = f"{', '.join(OBJECTIVES)}, or several of the last three in a row, such as 'downstream+task'"
        raise ValueError(known)
    for name in SOLVED:
        if len(names) > 1 and name in names:
            raise ValueError(
                f"no {name!r} among several stages: it is solved, not fitted, and every fitted one starts from a "
                "closed form"
            )
    return "+".join(names)


def _controls(value: Any) -> Any:
    several = [value] if isinstance(value, str) else _listed(value)
    known = f"{', '.join(CONTROLS)}, or 'none' alone"
    if value is None or several == [NONE]:
        return None if value is None else ()
    if not isinstance(several, list) or any(name not in CONTROLS for name in several):
        raise ValueError(known)
    return _distinct(several) if several else ()


def _unfrozen(value: str) -> str:
    if value not in ("stitcher", "all") and not (value.startswith("after:") and len(value) > len("after:")):
        raise ValueError("'stitcher', 'after:LAYER' with a layer of the top, or 'all'")
    return value


def _seeds(value: Any) -> Any:
    several = _listed(value)
    whole = isinstance(several, list) and all(isinstance(s, Integral) and not isinstance(s, bool) for s in several)
    if not whole or not several or min(several) < 0 or len(set(several)) < len(several):
        raise ValueError("distinct whole numbers from 0 in a list, such as [0, 1]")
    return tuple(int(seed) for seed in several)


def _numbers(value: Any) -> Any:
    several = [value] if isinstance(value, int) else _listed(value)
    return () if several == [] else _distinct(several)


def _several(value: Any) -> Any:
    return None if value is None else _numbers(value)


class Question(BaseModel):
    """A question about networks. Every field stands here once: its default, its check, and what it means.

    A field's description is what Python's ``help()`` and the command line's ``--help`` say of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    pairs: Annotated[Literal["all", "ring"] | tuple[tuple[str, str], ...], BeforeValidator(_pairs)] = Field(
        default="all",
        description="Pairs to stitch: 'all' ordered pairs of two different networks, a 'ring' (each under the "
        "next one), or a list of (bottom, top) names.",
    )
    both: bool = Field(default=True, strict=True, description="Stitch 'all' or a 'ring' in the other direction, too.")
    layers: Annotated[Literal["matching", "all"] | tuple[str, ...], BeforeValidator(_layers)] = Field(
        default="matching",
        description="Where to stitch: 'matching' (cuts at the same place), 'all' (every block cut to every block "
        "cut), or layers, seams and patterns such as 'layer2', 'layer2 -> blocks.4' and 'layer*', for every pair.",
    )
    families: Annotated[tuple[Annotated[str, AfterValidator(_family)], ...], BeforeValidator(_families)] = Field(
        default=("affine",),
        description="Family of the stitcher: identity, permutation, scaled-permutation, orthogonal, scaled-orthogonal, "
        "l-ortho, standard-orthogonal, relative, relative-whitened, "
        "low-rank:R, affine, norm-affine-norm, conv:K, mlp:H.",
    )
    objectives: Annotated[tuple[str, ...], BeforeValidator(_objectives)] = Field(
        default=("task",),
        description="What the stitcher is fitted to: match (closed form), sensitivity (that in the metric of the "
        "top's output), task, distill, downstream, or stages of the "
        "last three, such as downstream+task.",
    )
    controls: Annotated[tuple[str, ...] | None, BeforeValidator(_controls)] = Field(
        default=None,
        description=f"References to fit beside the pair: {', '.join(CONTROLS)}, or 'none'; by default all that the "
        "data allow, except recalibration.",
    )
    starts: Count = Field(
        default=3,
        description="Starts of a control that says nothing where its fit fails (class-noise), at most: another one is "
        "taken while the best so far errs more than the top on validation data, but not hopelessly; the best there is "
        "kept.",
    )
    seeds: Annotated[tuple[int, ...], BeforeValidator(_seeds)] = Field(
        default=(0,), description="Seed of batch order, augmentation and random starts."
    )
    samples: Annotated[tuple[Count, ...], BeforeValidator(_numbers)] = Field(
        default=(), description="Several numbers of fit samples, for a curve; one number is an option of the fit."
    )
    anchors: Annotated[tuple[Count, ...] | None, BeforeValidator(_several)] = Field(
        default=None,
        description="Number of anchors, or several for a curve: so few fit samples, chosen without labels and seen "
        "without augmentation. They take the place of samples.",
    )
    fit: FitSpec = Field(default=FitSpec(), description="How stitchers are fitted.")
    normalisation: Normalisation = Field(
        default="frozen",
        description="What BatchNorm does in the stitched model: the donors' statistics (frozen), re-estimated through "
        "the stitched path on a copy (recalibrated), or overwritten while fitting, as the paper's code did (batch).",
    )
    unfreeze: Annotated[str, AfterValidator(_unfrozen)] | None = Field(
        default=None,
        description="Train every stitch further on the task, on a copy, with more of it free: the stitcher, "
        "after:LAYER (what the top computes behind it, too) or all. Such a penalty is none of frozen networks: "
        "it stands apart, beside controls that are tuned alike (self, random, other-seed).",
    )
    other_seeds: dict[str, str] = Field(
        default={}, description="For a top, a network of its kind from another seed: the control 'other-seed'."
    )
    second: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="A second test set to measure every stitch on: other data, or the data's own with noise:0.2, "
        "contrast:0.5 or brightness:0.2.",
    )
    expected_error: NotNegative | dict[str, NotNegative] | None = Field(
        default=None,
        description="Error of the networks alone on the test split, in the task's unit (percent), of all or by name; a "
        "network with another error is refused before anything is fitted.",
    )
    error_tolerance: NotNegative | None = Field(
        default=None,
        description="How far an expected error may be off: 1 point, 0.05 nats per token or 1 % by default, plus what "
        "the size of the test split leaves open.",
    )

    @property
    def names(self) -> tuple[str, ...]:
        """Of the networks; none where they are not known."""
        return ()

    @model_validator(mode="before")
    @classmethod
    def _one_place(cls, values: Any) -> Any:
        """One family or objective under its own name; options of the fit also beside the others.

        Several samples are a curve.
        """
        if not isinstance(values, dict):
            return values
        values = dict(values)
        for one, several in (("family", "families"), ("objective", "objectives")):
            if one in values:
                if several in values:
                    raise ValueError(f"either {one} or {several}, not both")
                values[several] = values.pop(one)
        fit = values.get("fit", {})
        if isinstance(fit, FitSpec):
            fit = fit.model_dump(exclude_unset=True)
        if not isinstance(fit, dict):
            return values
        beside = [name for name in values if name in FitSpec.model_fields]
        for name in beside:
            if fit.get(name) is not None:
                raise ValueError(f"{name} in one place, not also under fit")
        curve = isinstance(values.get("samples"), list | tuple)
        fit = fit | {name: values.pop(name) for name in beside if not (name == "samples" and curve)}
        if isinstance(fit.get("samples"), list | tuple):
            values["samples"] = fit.pop("samples")
        return values | {"fit": fit}

    @model_validator(mode="after")
    def _other_seed_is_given(self) -> Self:
        other = next(name for name, control in CONTROLS.items() if control.sends == "another seed")
        if other in (self.controls or ()) and not self.other_seeds:
            raise ValueError(
                f"a network in other_seeds (--other-seed on the command line) beside the control {other!r}"
            )
        return self

    @model_validator(mode="after")
    def _anchors_are_chosen(self) -> Self:
        by = self.fit.anchors_by
        if self.anchors and (self.samples or self.fit.samples):
            raise ValueError("either samples or anchors, not both")
        if isinstance(by, str) and not self.anchors:
            raise ValueError("a number of anchors beside anchors_by, such as anchors=30")
        if isinstance(by, tuple) and max(self.anchors or (0,)) > len(by):
            raise ValueError(f"at most as many anchors as the {len(by):,} ids in anchors_by")
        return self

    @model_validator(mode="after")
    def _tuned_as_it_stands(self) -> Self:
        if self.unfreeze is None:
            return self
        if self.normalisation != "frozen":
            raise ValueError("normalisation 'frozen' beside unfreeze, since a tuned stitch keeps its statistics")
        wrong = [name for name in self.controls or () if not CONTROLS[name].tuned]
        if wrong:
            known = ", ".join(name for name, control in CONTROLS.items() if control.tuned)
            raise ValueError(f"controls that can be tuned ({known}) beside unfreeze, not {wrong[0]!r}")
        return self

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        if not self.names:
            return self
        named: dict[str, Iterable[str]] = {
            "pairs": () if isinstance(self.pairs, str) else [name for pair in self.pairs for name in pair],
            "other_seeds": self.other_seeds,
            "expected_error": self.expected_error if isinstance(self.expected_error, dict) else (),
        }
        for what, found in named.items():
            wrong = next((name for name in found if name not in self.names), None)
            if wrong is not None:
                raise ValueError(f"names of the networks {', '.join(map(repr, self.names))} in {what}, not {wrong!r}")
        for top, name in self.other_seeds.items():
            if top == name:
                raise ValueError(f"another network than {top!r} as its other seed")
        if self.pairs == "all" and len(self.names) < 2:
            raise ValueError("at least two networks where pairs = 'all'")
        return self

    def ordered_pairs(self) -> tuple[tuple[str, str], ...]:
        """The ``(bottom, top)`` pairs, spelled out."""
        names = self.names
        if not isinstance(self.pairs, str):
            return self.pairs
        if self.pairs == "ring":
            forward = list(zip(names, (*names[1:], names[0])))
            return tuple(dict.fromkeys([*forward, *((t, b) for b, t in forward)] if self.both else forward))
        ahead = {name: at for at, name in enumerate(names)}
        return tuple((b, t) for b in names for t in names if (b != t if self.both else ahead[b] < ahead[t]))

    def _usual(self, task: Task) -> tuple[str, ...]:
        """The controls that nobody has to ask for: those that the labels and the training can serve."""
        able = {n: c for n, c in CONTROLS.items() if c.usual and (task.by_class or not c.classes)}
        return tuple(n for n, control in able.items() if self.unfreeze is None or control.tuned)

    def for_labels(self, task: Task) -> Self:
        """The question with its controls spelled out: those that the labels can serve, unless others are asked for.

        Raises:
            DataError: a control needs one class for each sample, where labels are none.
        """
        found = self._usual(task) if self.controls is None else self.controls
        by_class = [name for name in found if CONTROLS[name].classes]
        if by_class and not task.by_class:
            raise DataError(
                f"The {by_class[0]} control needs one class label per sample: leave it out for "
                f"{'sequences' if task.by_position else f'the task {task.name}'}."
            )
        others = [n for n, control in CONTROLS.items() if control.sends == "another seed" and self.other_seeds]
        return self.model_copy(update={"controls": tuple(dict.fromkeys([*found, *others]))})

    def curve(self, most: int) -> list[Self]:
        """One question for each number of fit examples; asked-for numbers above ``most`` are one and the same.

        Raises:
            DataError: there are fewer examples than anchors.
        """
        if anchors := self._anchored(most):
            return anchors
        sizes = dict.fromkeys(min(n, most) for n in self.samples)
        fits = [self.fit.model_copy(update={"samples": n}) for n in sizes]
        return [self.model_copy(update={"fit": fit, "samples": ()}) for fit in fits] or [self]

    def _anchored(self, most: int) -> list[Self]:
        """One question for each number of anchors, fit examples as they are; none where none are asked."""
        by = self.fit.anchors_by
        ids = by if isinstance(by, tuple) else ()
        numbers = self.anchors or ((len(ids),) if ids else ())
        if numbers and max(numbers) > most:
            raise DataError(
                f"{counted(most, 'fit sample')} cannot give {max(numbers):,} anchors: expected 1 to as many; ask for "
                "fewer."
            )
        if ids and max(ids) >= most:
            raise DataError(
                f"The anchor {max(ids)} is none of the {most:,} fit samples: expected ids from 0 to {most - 1}."
            )
        fits = [
            self.fit.model_copy(update={"samples": n, "augment": False, "anchors_by": ids[:n] or by or ANCHORS_BY[0]})
            for n in numbers
        ]
        return [self.model_copy(update={"fit": fit, "anchors": None}) for fit in fits]

    def identity(self) -> dict[str, Any]:
        """Plain JSON values of all that decides the results."""
        unused = {name for name in ("other_seeds", "second", "anchors", "unfreeze") if not getattr(self, name)}
        unused |= {name for name in ("both",) if getattr(self, name) == Question.model_fields[name].default}
        failing = any(CONTROLS[name].positive for name in (CONTROLS if self.controls is None else self.controls))
        if self.starts == 1 or not failing or set(SOLVED).issuperset(self.objectives):  # no fit has another one
            unused.add("starts")
        return self.model_dump(mode="json", exclude={"expected_error", "error_tolerance", *unused})


class Comparison(Question):
    """A question about networks that are there."""

    networks: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the networks."""
        return self.networks


FIELDS = {
    "family": "families",
    "objective": "objectives",
    "seed": "seeds",
}  # keywords for one value: the fields that they set


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
        if value is not None or name not in ("samples", "anchors", "other_seeds", "second"):
            given[FIELDS.get(name, name)] = value
    called = {field: name for name, field in FIELDS.items() if name in known}
    if seam:  # several objectives are stages of one
        given |= {"layers": seam, "pairs": ((networks[0], networks[-1]),), "controls": ()}
        given |= {field: [given[field]] for field in ("objectives", "seeds") if field in given}
        called["layers"] = "at"
    try:
        return Comparison.model_validate(given, context={"own": tuple(own)})
    except ValidationError as error:
        raise StudyError(sentence(error, lambda _: known, called=called)) from error
