"""What enters a measure and what leaves it: checked, centred, of unit norm, in float64; never NaN."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ..errors import MeasureError, NonFiniteError
from ..moments.moments import Known, Moments
from ..support.memory import require

Activations: TypeAlias = Tensor | np.ndarray[Any, Any]

EPS = torch.finfo(torch.float64).eps
# A column whose spread is below four roundings of its largest value holds no signal, only rounding.
CONSTANT = 4 * EPS


def pair(
    x: Activations, y: Activations, *, measure: str, needed: int, names: tuple[str, str] = ("X", "Y")
) -> tuple[Tensor, Tensor]:
    """Two matrices of the same examples, ready for a product.

    Args:
        x, y: shapes (n, p), (n, q); row i of both is the same example.
        measure: who asks, for the messages.
        needed: the least number of examples.
        names: what to call the two in messages, such as the layers' names.

    Returns:
        New float64 tensors of the same shapes, columns centred, Frobenius norm 1. Constant columns are
        exactly 0.

    Raises:
        MeasureError: not matrices of real numbers, rows that do not pair, too few rows, or nothing but
            constant columns.
        NonFiniteError: NaN or infinity; the message names the row and the column.
    """
    (a,), (b,) = prepared([x], [y], measure=measure, needed=needed, names=([names[0]], [names[1]]))
    return a, b


def prepared(
    x: Sequence[Activations],
    y: Sequence[Activations],
    *,
    measure: str,
    needed: int,
    names: tuple[Sequence[str], Sequence[str]],
) -> tuple[list[Tensor], list[Tensor]]:
    """``pair`` of every layer of x with every layer of y, each worked out once, on the device of the first."""
    sides = [
        [_matrix(layer, name) for layer, name in zip(*side, strict=True)] for side in ((x, names[0]), (y, names[1]))
    ]
    first = sides[0][0]
    for side, of in zip(sides, names):
        for layer, name in zip(side, of):
            if len(layer) != len(first):
                raise MeasureError(
                    f"{measure} compares the same examples row by row: expected as many rows in {name} as in "
                    f"{names[0][0]}, found {len(first)} and {len(layer)}; pass activations of the same examples in the "
                    "same order."
                )
    if len(first) < needed:
        raise MeasureError(
            f"{measure} needs at least {needed} examples, found {len(first)}: pass activations of more examples."
        )
    left, right = (
        [_unit(layer, name, measure).to(first.device) for layer, name in zip(side, of)]
        for side, of in zip(sides, names)
    )
    return left, right


def scaled(moments: Moments, *, measure: str, needed: int) -> Moments:
    """The moments in float64, scaled so that the traces of ``xx`` and ``yy`` are 1.

    Raises:
        MeasureError: too few rows, or a side that is constant.
        NonFiniteError: NaN or infinity among the sums.
    """
    if moments.n < needed:
        raise MeasureError(f"{measure} needs at least {needed} examples, found {moments.n}: add more to the moments.")
    known: Moments | None = moments.joint.get("unit")
    if known is not None:
        return known
    xy = moments.xy.to(torch.float64)
    if not bool(torch.isfinite(xy).all()):
        raise NonFiniteError(f"{measure} met NaN or infinity in the moments of both sides: collect them again.")
    ends = ("bottom", moments.mean_x, moments.xx), ("top", moments.mean_y, moments.yy)
    (a, mean_x, xx), (b, mean_y, yy) = (
        _unit_side(*end, moments.n, measure, side) for end, side in zip(ends, moments.known)
    )
    found = Moments(moments.n, mean_x, mean_y, xx, yy, xy / (a * b)).sharing(*moments.known)
    moments.joint["unit"] = found
    return found


def _unit_side(
    side: str, mean: Tensor, square: Tensor, n: float, measure: str, known: Known
) -> tuple[float, Tensor, Tensor]:
    """The norm of a side, and its mean and sums at norm 1; worked out once for all that it is compared with."""
    found: tuple[float, Tensor, Tensor] | None = known.get("unit")
    if found is not None:
        return found
    mean, square = mean.to(torch.float64), square.to(torch.float64)
    trace = float(square.diagonal().sum())
    if not math.isfinite(trace):
        raise NonFiniteError(f"{measure} met NaN or infinity in the moments of the {side}: collect them again.")
    if trace <= n * CONSTANT**2 * float(mean.square().sum()):
        raise MeasureError(constant_message(measure, f"the {side}"))
    norm = math.sqrt(trace)
    found = known["unit"] = (norm, mean / norm, square / norm**2)
    return found


def slack(moments: Moments) -> float:
    """By how much rounding may push a value from these moments beyond its range."""
    return 1e-9 if moments.xx.dtype == torch.float64 else 1e-4


def bounded(value: Tensor | float, low: float, high: float, measure: str, *, slack: float = 1e-9) -> float:
    """The value as a float; what lies outside [low, high] by rounding is set onto the edge.

    Raises:
        NonFiniteError: if it is NaN or infinite.
        MeasureError: if it lies outside by more than ``slack``, which rounding cannot explain.
    """
    number = float(value)
    if not math.isfinite(number):
        raise NonFiniteError(f"{measure} came out as {number}: rescale the activations, or use float64.")
    if number < low - slack or number > high + slack:
        raise MeasureError(
            f"{measure} came out as {number:.6g}: expected a value from {low:g} to {high:g}; the activations are too "
            "badly conditioned, use more examples or compute from the activations instead of the moments."
        )
    return min(max(number, low), high)


def _matrix(value: Activations, name: str) -> Tensor:
    try:
        if isinstance(value, Tensor):
            if value.is_complex():
                raise TypeError("complex numbers")
            value = value.detach()
            # Apple's GPU has no float64.
            matrix = (value.cpu() if value.device.type == "mps" else value).to(torch.float64)
        else:
            if np.iscomplexobj(value):
                raise TypeError("complex numbers")
            matrix = torch.from_numpy(np.array(value, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise MeasureError(f"{name} must be a matrix of real numbers (examples, features), found {error}.") from error
    if matrix.ndim != 2 or matrix.shape[1] == 0:
        raise MeasureError(
            f"{name} must be a matrix (examples, features) with at least one feature, found shape "
            f"{tuple(matrix.shape)}: flatten or average the other axes first."
        )
    finite = torch.isfinite(matrix)
    if not bool(finite.all()):
        row, column = (~finite).nonzero()[0].tolist()
        raise NonFiniteError(
            f"{name} holds NaN or infinity, first at example {row}, feature {column}: expected finite numbers; check "
            "the network's weights and inputs, or use float32 where float16 overflows."
        )
    return matrix


def _unit(matrix: Tensor, name: str, measure: str) -> Tensor:
    low, high = matrix.amin(0), matrix.amax(0)
    largest = torch.maximum(low.abs(), high.abs())
    constant = high - low <= CONSTANT * largest
    if bool(constant.all()):
        raise MeasureError(constant_message(measure, name))
    # Divide before the first sum, so that neither tiny nor huge numbers leave float64; the second centring
    # removes what rounding left of a large mean.
    matrix = matrix / largest.max()
    matrix = matrix - matrix.mean(0)
    matrix = (matrix - matrix.mean(0)).masked_fill(constant, 0.0)
    matrix = matrix / matrix.abs().max()
    norm: Tensor = torch.linalg.norm(matrix)
    return matrix / norm


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """The cosine between two matrices (n, n)."""
    found: Tensor = (a * b).sum() / (torch.linalg.norm(a) * torch.linalg.norm(b))
    return found


def constant_message(measure: str, name: str) -> str:
    """The refusal of a side that never varies."""
    return (
        f"{measure} is not defined where nothing varies: expected at least one feature of {name} that differs between "
        "examples, found none; choose another layer or other examples."
    )


# Two distances tie where they differ by less than rounding could make of equal ones: an orthogonal map or an
# offset must not break ties. The second term is for equal examples, whose distance is 0 up to rounding of
# the coordinates.
TIE_RELATIVE, TIE_OF_LARGEST = 1e-9, 1e-12


def distances(x: Tensor, measure: str) -> Tensor:
    """The distances (n, n) between the rows of x (n, p).

    From differences, not from the Gram matrix, whose cancellation would set equal examples apart.

    Raises:
        MeasureError: if n x n numbers do not fit into memory.
    """
    n = len(x)
    # Two sides, each with the distances and two matrices made from them.
    require(6 * 8 * n * n, f"The distances that {measure} takes between {n:,} examples", "use fewer examples")
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")


def tolerance(d: Tensor, largest: Tensor) -> Tensor:
    """How far from each distance, up to ``largest``, another one still ties with it; the shape of d."""
    return TIE_RELATIVE * d + TIE_OF_LARGEST * largest
