"""How stitchers are fitted: plain, checked, torch-free values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Annotated, Any, Literal, TypedDict, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

Count = Annotated[int, Field(strict=True, ge=1)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Switch = Annotated[bool, Field(strict=True)]
MATCH, SENSITIVITY = "match", "sensitivity"
SOLVED = (MATCH, SENSITIVITY)  # objectives that take no steps
AnchorsBy = Literal["random", "k-means", "farthest"]
ANCHORS_BY: tuple[str, ...] = get_args(AnchorsBy)


def _places(value: Any) -> Any:
    if isinstance(value, list | tuple) and value and all(isinstance(name, str) for name in value):
        return tuple(value)
    if value not in ("all", "penultimate"):
        raise ValueError("'all', 'penultimate' or a list of layers")
    return value


def _ways(value: Any) -> Any:
    if value is None or value in ANCHORS_BY:
        return value
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError(f"{', '.join(map(repr, ANCHORS_BY))}, or ids of fit samples")
    ids: list[Any] = list(value)
    whole = all(isinstance(i, Integral) and not isinstance(i, bool) for i in ids) and min(ids, default=-1) >= 0
    if not whole or len(set(ids)) < len(ids):
        raise ValueError("ids of fit samples: distinct whole numbers from 0")
    return tuple(int(i) for i in ids)


class FitSpec(BaseModel):
    """How each stitcher is fitted. Every option stands here once: its default, its check, and what it does."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    batch_size: Count = Field(default=128, description="Samples for each step.")
    steps: Count = Field(default=640, description="Optimiser steps at most; the objective match takes none.")
    optimizer: Literal["muon", "adam"] = Field(
        default="muon",
        description="What takes the steps of whitened maps (affine and conv families): muon, whose rate falls like one "
        "over the root of the steps, and the mean of whose states is kept, or adam, with a cosine. Other families, and "
        "normalisation='batch', take adam.",
    )
    learning_rate: Positive = Field(
        default=1e-2,
        description="Rate of Adam in whitened coordinates for 64 channels below: multiplied by 64/p for p "
        "channels, and divided by the positions of a kernel. Muon takes 2.5 times the rate, divided by a kernel's "
        "width. Families that are not whitened take a tenth of it; norm-affine-norm takes it as it is.",
    )
    adapt_rate: Switch = Field(
        default=True,
        description="Fit the rate of whitened steps to how far the start is from the top's own error: of muon up to 16 "
        "times if it is far, of adam down to a quarter if it is near.",
    )
    weight_decay: NotNegative = Field(default=0.0, description="Weight decay of the stitcher's weights.")
    eval_every: Count = Field(default=20, description="Steps between two measurements on the validation split.")
    patience: Count = Field(
        default=5, description="Measurements in a row without improvement that are allowed; at one more the fit stops."
    )
    stop_early: Switch = Field(
        default=True,
        description="End a fit where the steps left, at the rate left to them, would gain less than ten thousand "
        "samples can tell, as the last two measurements say.",
    )
    look: Count = Field(
        default=1024,
        description="Validation samples of a measurement, drawn by the seed; more only where they leave open which "
        "state to keep. A split of no more is read whole.",
    )
    init: Literal["closed", "random"] = Field(default="closed", description="Start from the closed form, or at random.")
    whiten: Switch = Field(
        default=True, description="Take steps in coordinates whitened by the moments (affine and conv families)."
    )
    start_samples: Count = Field(
        default=2000,
        description="Fit samples for the closed form that steps start from and for their coordinates, at least ten for "
        "each channel; match takes all.",
    )
    samples: Count | None = Field(
        default=None,
        description="Number of fit samples, drawn by the seed and balanced over classes; all by default. In a "
        "comparison several numbers give a curve.",
    )
    budget: Literal["top", "all"] = Field(
        default="top",
        description="Fit on the samples that the top was trained on, if they are known (top), or on the whole fit "
        "split, as the paper's code did (all).",
    )
    augment: Switch = Field(default=True, description="Apply the data's augmentation to fit batches.")
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="Precision of the steps. bfloat16 is faster on a processor with AMX or a recent GPU; moments and "
        "errors stay in full precision.",
    )
    cache: NotNegative = Field(
        default=0.0,
        description="Gigabytes for the bottom's activations of the fit split, which are then computed once if the "
        "split is not augmented.",
    )
    temperature: Positive = Field(default=2.0, description="Temperature of the objective distill.")
    targets: Literal["top", "bottom"] = Field(
        default="top", description="Network whose outputs the objective distill fits."
    )
    downstream: Annotated[Literal["all", "penultimate"] | tuple[str, ...], BeforeValidator(_places)] = Field(
        default="all",
        description="Layers that the objective downstream, or a loss of your own, looks at: all block cuts after "
        "the seam and the output, the penultimate one, or named layers, 'output' among them; layers "
        "before the seam are skipped.",
    )

    anchors_by: Annotated[AnchorsBy | tuple[int, ...] | None, BeforeValidator(_ways)] = Field(
        default=None,
        description="How anchors are chosen: random (drawn by the seed), k-means or farthest (spread over what the top "
        "makes of at most 20,000 fit samples at its last block cut), or the ids of fit samples.",
    )
    positions: Count | None = Field(
        default=None, description="Positions of each sample that are summed at most, drawn by the seed; all by default."
    )
    sums: Literal["float64", "float32"] = Field(
        default="float64",
        description="Precision of the sums; float32 needs half the memory and less time, and is good to about 1e-6.",
    )

    @model_serializer(mode="wrap")
    def _stated(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As plain values; cells that do not use what came later are named as before."""
        return {k: v for k, v in plain(self).items() if k not in _LATER or v != _LATER[k]}


_LATER: dict[str, Any] = {
    "anchors_by": None,
    "positions": None,
    "sums": "float64",
    "look": 1024,
    "stop_early": True,
    "optimizer": "adam",
}
OF_STEPS = ("look", "stop_early", "optimizer")  # cells are named by them where they may change what is kept


class FitOptions(TypedDict, total=False):
    """The options of a fit as keywords, for editors and type checkers; ``FitSpec`` says what they are."""

    batch_size: int
    steps: int
    optimizer: Literal["muon", "adam"]
    learning_rate: float
    adapt_rate: bool
    weight_decay: float
    eval_every: int
    patience: int
    stop_early: bool
    look: int
    init: Literal["closed", "random"]
    whiten: bool
    start_samples: int
    budget: Literal["top", "all"]
    augment: bool
    precision: Literal["float32", "bfloat16"]
    cache: float
    temperature: float
    targets: Literal["top", "bottom"]
    downstream: str | Sequence[str]
    anchors_by: AnchorsBy | Sequence[int] | None
    positions: int | None
    sums: Literal["float64", "float32"]
