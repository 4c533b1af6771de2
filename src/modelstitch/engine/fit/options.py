"""How stitchers are fitted: plain, checked, torch-free values."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from ...errors import StitchError

Count = Annotated[int, Field(strict=True, ge=1)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Switch = Annotated[bool, Field(strict=True)]


class FitSpec(BaseModel):
    """How each stitcher is fitted.

    Attributes:
        batch_size: examples per step.
        steps: most optimiser steps (objectives other than ``match``).
        learning_rate: of Adam, in whitened coordinates for 64 channels below; it is multiplied with 64/p for p channels, and
            divided by a kernel's positions. Families that are not whitened take a tenth of it, norm-affine-norm as it is.
        adapt_rate: take whitened steps at a smaller rate, down to a quarter, where the start is near the top's own error.
        weight_decay: of the stitcher's weights.
        eval_every: steps between two looks at the validation split.
        patience: looks in a row that may bring no improvement; one more, and it stops.
        init: start from the closed form, or at random.
        whiten: take the steps in coordinates whitened by the moments (affine and conv families).
        start_samples: fit examples behind the closed-form start of a stitcher that is then fitted, and the coordinates of its
            steps (at least ten a channel; ``match`` takes all).
        samples: fit examples used, a class-balanced draw by the seed, the same in every pass; None is all of them.
        budget: "top" fits on the samples that the top was trained on, where that is known, and on no more; "all" on the
            whole fit split (what the paper's code did).
        augment: whether the data's augmentation recipe is applied to fit batches.
        precision: float32, or bfloat16 by autocast. Moments and errors stay in full precision.
        cache: gigabytes that bottom activations of the fit split may take, where it is not augmented; they are then
            computed once. 0 keeps none.
        temperature: of the ``distill`` objective.
        targets: whose outputs ``distill`` is fitted to: the "top"'s own, or the "bottom"'s.
        downstream: where the ``downstream`` objective (and a loss of the user's own) looks: "all" block cuts behind the
            seam and the output, the "penultimate" one, or named layers, "output" among them; those before a seam are
            passed over.
        positions: the sums take at most so many positions of each example, drawn by the seed; None takes all.
        sums: the precision of the sums; float32 takes half the memory and less time, good to about 1e-6.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_size: Count = 128
    steps: Count = 160
    learning_rate: Positive = 1e-2
    adapt_rate: Switch = True
    weight_decay: NotNegative = 0.0
    eval_every: Count = 20
    patience: Count = 5
    init: Literal["closed", "random"] = "closed"
    whiten: Switch = True
    start_samples: Count = 2000
    samples: Count | None = None
    budget: Literal["top", "all"] = "top"
    augment: Switch = True
    precision: Literal["float32", "bfloat16"] = "float32"
    cache: NotNegative = 0.0
    temperature: Positive = 2.0
    targets: Literal["top", "bottom"] = "top"
    downstream: Literal["all", "penultimate"] | tuple[str, ...] = "all"
    positions: Count | None = None
    sums: Literal["float64", "float32"] = "float64"

    @model_serializer(mode="wrap")
    def _stated(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As plain values; cells that do not use them are named as before there were the last two options."""
        return {k: v for k, v in plain(self).items() if k not in _LATER or v != _LATER[k]}


_LATER: dict[str, Any] = {"positions": None, "sums": "float64"}


def fit_spec(values: dict[str, Any]) -> FitSpec:
    """Fit options from keyword arguments.

    Raises:
        StitchError: naming the first option that is unknown or out of range.
    """
    try:
        return FitSpec.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name, FitSpec.model_fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(FitSpec.model_fields)}."
            raise StitchError(f"There is no fit option {name!r}: {hint}") from error
        wanted = first["msg"].replace("Input should be", "expected", 1)
        if name.startswith("downstream"):
            name, wanted = "downstream", "expected 'all', 'penultimate' or a list of layers"
        raise StitchError(f"The fit option {name!r} is wrong: {wanted}, found {first['input']!r}.") from error
