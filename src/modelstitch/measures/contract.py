"""The public contract: what every measure, also a user's own, must hold to."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args

import torch
from torch import Tensor

from ..errors import MeasureError, NonFiniteError
from ..moments.moments import Moments
from .measure import Invariance, Measure, MeasureKind


def check(measure: str | Measure, *, seed: int = 0, tolerance: float = 1e-6) -> None:
    """Pass a measure through the contract, on random matrices made from ``seed``.

    Symmetry (unless it states a direction), the value with itself, every invariance it states for either
    side, determinism, the same value from arrays and from moments, arguments and random state left alone, a
    finite value in range at awkward inputs or a named error, and refusals of NaN, infinity, too few rows,
    unpaired rows and activations that never vary.

    Args:
        measure: a Measure of your own, or the name of one.
        seed: of the matrices.
        tolerance: by how much a value may move where it should not.

    Raises:
        MeasureError: at the first clause broken; the message says which, what was expected and what was
            found.

    Examples:
        >>> ms.measures.check("cka_linear_debiased")
        >>> always = ms.measures.Measure("always", lambda x, y: 0.5, "similarity", "0.5", "none")
        >>> ms.measures.check(always)
        Traceback (most recent call last):
        ...
        modelstitch.errors.MeasureError: ...
    """
    from .registry import find

    measure = find(measure)
    _description(measure)
    generator = torch.Generator().manual_seed(seed)
    n = max(60, 4 * measure.min_examples)
    x = _normal(generator, n, 5)
    y = x @ _normal(generator, 5, 7) + 0.5 * _normal(generator, n, 7)
    _leaves_arguments(measure, x, y)
    _values(measure, x, y, tolerance)
    _leaves_random_state(measure, x, y)
    for name in measure.invariant_x:
        _same(
            measure,
            f"invariance of x to {name}",
            measure(x, y),
            measure(_moved(x, name, generator), y),
            tolerance,
        )
    for name in measure.invariant_y:
        _same(
            measure,
            f"invariance of y to {name}",
            measure(x, y),
            measure(x, _moved(y, name, generator)),
            tolerance,
        )
    _awkward(measure, x, y)
    _refusals(measure, x, y)


def _description(measure: Measure) -> None:
    """Words from the closed lists: a report draws and reads by them."""
    if measure.kind not in get_args(MeasureKind):
        raise MeasureError(
            f"{measure.name} must be of the kind {' or '.join(get_args(MeasureKind))}, found {measure.kind!r}."
        )
    known = get_args(Invariance)
    for name in (*measure.invariant_x, *measure.invariant_y):
        if name not in known:
            raise MeasureError(
                f"{measure.name} must state invariances by their names ({', '.join(known)}), found {name!r}."
            )


def _values(measure: Measure, x: Tensor, y: Tensor, tolerance: float) -> None:
    value = measure(x, y)
    if not isinstance(measure.function(x, y), float):
        raise MeasureError(f"{measure.name} must return a float, found {type(measure.function(x, y)).__name__}.")
    _same(measure, "determinism", value, measure(x, y), 0.0)
    _same(measure, "the value from arrays", value, measure(x.numpy(), y.numpy()), tolerance)
    # The arc cosine turns a rounding of 1e-16 next to 1 into 1e-8.
    _same(measure, "the value of activations with themselves", measure.self_value, measure(x, x), tolerance)
    if measure.symmetric:
        _same(measure, "symmetry", value, measure(y, x), tolerance)
    if measure.from_moments is not None:
        _same(measure, "the value from moments", value, measure.from_moments(Moments.of(x, y)), tolerance)


def _leaves_arguments(measure: Measure, x: Tensor, y: Tensor) -> None:
    before = x.clone(), y.clone()
    measure(x, y)
    if not (torch.equal(x, before[0]) and torch.equal(y, before[1])):
        raise MeasureError(f"{measure.name} must leave its arguments as they are, found them changed.")


def _leaves_random_state(measure: Measure, x: Tensor, y: Tensor) -> None:
    state = torch.get_rng_state()
    measure(x, y)
    if not torch.equal(state, torch.get_rng_state()):
        raise MeasureError(f"{measure.name} must leave torch's random state as it is, found it advanced.")


def _awkward(measure: Measure, x: Tensor, y: Tensor) -> None:
    """A finite value in range, which the call itself checks, or a named error."""
    n, few = len(x), max(4, measure.min_examples)
    rows: dict[str, Callable[[Tensor], Tensor]] = {
        "an offset of 1,000": lambda a: a + 1e3,
        "a rank of 1": lambda a: a[:, :1] * torch.ones_like(a),
        "a constant feature": lambda a: torch.cat([a, torch.full((n, 1), 0.1, dtype=a.dtype)], 1),
        "equal examples": lambda a: a[torch.arange(n) // 2],
        "fewer examples than features": lambda a: a[:few].repeat(1, 2),
        "tiny numbers": lambda a: a * 1e-200,
        "huge numbers": lambda a: a * 1e200,
        "float32": lambda a: a.float(),
    }
    for case, change in rows.items():
        try:
            value = measure.function(change(x), change(y))
        except (MeasureError, NonFiniteError) as error:
            if not str(error).strip():
                raise MeasureError(f"{measure.name} must say why it refuses {case}, found an empty message.") from error
        except Exception as error:
            raise MeasureError(
                f"{measure.name} must give a value or raise MeasureError at {case}, found "
                f"{type(error).__name__}: {error}."
            ) from error
        else:
            if not (math.isfinite(value) and measure.low - 1e-9 <= value <= measure.high + 1e-9):
                raise MeasureError(
                    f"{measure.name} must give a finite value from {measure.low:g} to {measure.high:g} or raise "
                    f"MeasureError at {case}, found {value}."
                )


def _refusals(measure: Measure, x: Tensor, y: Tensor) -> None:
    for bad in (float("nan"), float("inf")):
        broken = x.clone()
        broken[3, 1] = bad
        _refuses(measure, f"{bad} in x", NonFiniteError, broken, y)
        _refuses(measure, f"{bad} in y", NonFiniteError, y, broken)
    few = measure.min_examples - 1
    _refuses(measure, f"{few} examples", MeasureError, x[:few], y[:few])
    _refuses(measure, "rows that do not pair", MeasureError, x[:-1], y)
    _refuses(measure, "constant activations", MeasureError, torch.full_like(x, 0.1), y)
    _refuses(measure, "constant activations", MeasureError, x, torch.full_like(y, 0.1))


def _refuses(measure: Measure, what: str, kind: type[Exception], x: Tensor, y: Tensor) -> None:
    try:
        value = measure.function(x, y)
    except kind as error:
        if not str(error).strip():
            raise MeasureError(f"{measure.name} must say why it refuses {what}, found an empty message.") from error
    except Exception as error:
        raise MeasureError(
            f"{measure.name} must refuse {what} with {kind.__name__}, found {type(error).__name__}: {error}."
        ) from error
    else:
        raise MeasureError(f"{measure.name} must refuse {what} with {kind.__name__}, found the value {value}.")


def _same(measure: Measure, clause: str, expected: float, found: float, tolerance: float) -> None:
    if not abs(expected - found) <= tolerance:
        raise MeasureError(f"{measure.name} breaks {clause}: expected {expected:.9g}, found {found:.9g}.")


def _moved(x: Tensor, invariance: Invariance, generator: torch.Generator) -> Tensor:
    width = x.shape[1]
    if invariance == "isotropic scaling":
        return 7.3 * x
    if invariance == "translation":
        return x + 1e3 * _normal(generator, 1, width)
    if invariance == "permutation":
        return x[:, torch.randperm(width, generator=generator)]
    turn: Tensor = torch.linalg.qr(_normal(generator, width, width)).Q
    if invariance == "orthogonal":
        return x @ turn
    stretch = torch.logspace(-1, 1, width, dtype=x.dtype)
    return (x @ turn) * stretch @ turn.T.flip(0)


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)
