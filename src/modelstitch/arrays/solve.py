"""From sums to maps of rows: one for each way, and a second look at the rows for the families that need it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import ArrayError
from ..moments.moments import Moments
from ..stitchers.base import Site, Stitcher
from ..stitchers.families import FAMILIES, family_of
from ..stitchers.mlp import MLP
from ..stitchers.relative import Relative, WhitenedRelative, directions, whitening
from ..support.words import counted
from .given import Vectors, blocks_of
from .maps import RowMap, unit
from .sums import PairSums

RELATIVE, WHITENED = Relative.family, WhitenedRelative.family
THERE, BACK = "there", "back"
# Families that need no products of the new embeddings with themselves, which would cost half a product more.
_FROM_BELOW = {FAMILIES[name] for name in ("affine", "low-rank", "orthogonal", "scaled-orthogonal", "l-ortho", "mlp")}


@dataclass(frozen=True)
class Pairs:
    """Rows of both sides that were summed, for a second look.

    Attributes:
        old, new: paired rows.
        weights: of the pairs, (n,), or nothing.
    """

    old: Vectors
    new: Vectors
    weights: NDArray[np.float64] | None


def need(family: str, p: int, q: int, rows: int) -> None:
    """Refuse a family that has no member for these widths, or needs more rows.

    Raises:
        StitchError: saying what is needed.
    """
    cls, options = family_of(family)
    if not cls.closed and not issubclass(cls, MLP):
        raise ArrayError(
            f"The family {family!r} is fitted through a network: expected one that is solved from sums, such as "
            "'affine', 'orthogonal' or 'low-rank:64', or 'mlp'."
        )
    cls.check_site(Site(p, q, "vector"), **options)
    least = FEWEST if issubclass(cls, MLP) else cls.fewest(**options)
    if rows < least:
        raise ArrayError(
            f"{counted(rows, 'sample')} cannot be aligned by the family {family!r}: expected at least {least:,} pairs "
            "of embeddings."
        )


def needs_both(family: str) -> bool:
    """Does a map of this family need products of the new rows with themselves?"""
    return family_of(family)[0] not in _FROM_BELOW


def of_directions(family: str) -> bool:
    """Are rows brought to length 1 before they are summed?"""
    return family == RELATIVE


def looks_twice(family: str) -> bool:
    """Does a map of this family take a second look at the rows, so that sums alone do not give it?"""
    return family == WHITENED or is_mlp(family)


def solved(
    seen: PairSums, family: str, *, both: bool = False, seed: int = 0, rows: Pairs | None = None
) -> dict[str, RowMap]:
    """Solve the maps.

    Args:
        seen: the sums.
        family: of the maps.
        both: solve the way back, too.
        seed: of an MLP.
        rows: those of the sums, for a family that looks twice.

    Returns:
        The map ``THERE``, and with ``both`` the map ``BACK``.

    Raises:
        ArrayError: no column ever changes, or the family has no affine form.
    """
    moments = seen.moments
    if not bool((moments.xx.diagonal() > 0).any()):
        raise ArrayError("No column of the old embeddings ever changes: expected samples that differ.")
    ways = {THERE: moments} | ({BACK: moments.turned()} if both else {})
    if family == RELATIVE:
        lengths = dict(zip((BACK, THERE), (seen.lengths / moments.n).tolist()))
        return {way: relative(sums, lengths[way]) for way, sums in ways.items()}
    if family == WHITENED:
        assert rows is not None
        return dict(zip(ways, whitened(moments, rows.old, rows.new, rows.weights)))
    found = {way: _stitcher(family, sums, seen.samples, seed) for way, sums in ways.items()}
    if is_mlp(family):
        assert rows is not None
        found = {way: _improved(stitcher, rows, way, seed) for way, stitcher in found.items()}
    return {way: _row_map(stitcher, family) for way, stitcher in found.items()}


def is_mlp(family: str) -> bool:
    """Is a map of this family fitted step by step?"""
    return issubclass(family_of(family)[0], MLP)


def _stitcher(family: str, moments: Moments, samples: int, seed: int) -> Stitcher:
    """The stitcher of sums that are scaled to the number of samples, whatever their weights."""
    cls, options = family_of(family)
    if issubclass(cls, MLP):
        options = {"hidden": min(UNITS, 2 * max(moments.xy.shape)), **options, "seed": seed}
    sums = [samples / moments.n * square for square in (moments.xx, moments.yy, moments.xy)]
    with _double():
        scaled = Moments(samples, moments.mean_x, moments.mean_y, *sums)
        return cls.solve(scaled, Site(len(moments.mean_x), len(moments.mean_y), "vector"), **options)


def mlp_of(family: str, moments: Moments, samples: int, seed: int) -> MLP:
    """An MLP as it is solved from sums, before it is fitted to their rows."""
    mlp = _stitcher(family, moments, samples, seed).float()
    assert isinstance(mlp, MLP)
    return mlp


def _improved(stitcher: Stitcher, rows: Pairs, way: str, seed: int) -> MLP:
    mlp = stitcher.float()
    assert isinstance(mlp, MLP)
    x, y = (rows.old, rows.new) if way == THERE else (rows.new, rows.old)
    return improve(mlp, x, y, None if rows.weights is None else torch.from_numpy(rows.weights).float(), seed=seed)


def _row_map(stitcher: Stitcher, family: str) -> RowMap:
    if isinstance(stitcher, MLP):
        up, down, shift = (part.detach().double().numpy() for part in (stitcher.up, stitcher.down, stitcher.shift))
        weight, bias = stitcher.affine.affine_form()
        return RowMap(weight.numpy(), bias.numpy(), (up, down, shift))
    affine = stitcher.affine_form()
    if affine is None:
        raise ArrayError(
            f"The family {family!r} has no affine form: expected one that is x -> W x + b on a row, or 'mlp'."
        )
    w, b = (part.detach().cpu().numpy() for part in affine)
    return RowMap(w, b)


@contextmanager
def _double() -> Iterator[None]:
    """Maps are kept in double precision here: rows of that type are none of a network."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def relative(moments: Moments, length: float) -> RowMap:
    """The map of the sums of unit rows; what it gives is as long as new rows are on the mean."""
    p, q = moments.xy.shape
    return RowMap(length * directions(moments).numpy(), np.zeros(q), direction=(np.eye(p), np.zeros(p)))


def whitened(moments: Moments, x: Vectors, y: Vectors, weights: NDArray[np.float64] | None) -> tuple[RowMap, RowMap]:
    """The maps there and back of rows that are whitened first, each side by its own sums; a second pass."""
    (turn_x, home_x), (turn_y, home_y) = (
        [side.numpy() for side in whitening(square, moments.n)] for square in (moments.xx, moments.yy)
    )
    mean_x, mean_y = moments.mean_x.numpy(), moments.mean_y.numpy()
    sums, lengths, mass = Moments.empty(*moments.xy.shape), np.zeros(2), 0.0
    for a, b, w in blocks_of(x, y, weights=weights):
        if w is None or w.any():
            sides = (a - mean_x) @ turn_x, (b - mean_y) @ turn_y
            w = np.ones(len(a)) if w is None else w
            lengths += [w @ np.linalg.norm(side, axis=1) for side in sides]
            mass += w.sum()
            sums.update(*(torch.from_numpy(unit(side)) for side in sides), weights=torch.from_numpy(w))
    there = lengths[1] / mass * home_y @ directions(sums).numpy()
    back = lengths[0] / mass * home_x @ directions(sums.turned()).numpy()
    return (
        RowMap(there, mean_y, direction=(turn_x, -turn_x @ mean_x)),
        RowMap(back, mean_x, direction=(turn_y, -turn_y @ mean_y)),
    )


BATCH, FEWEST_STEPS, MOST_STEPS, PASSES, LOOKS = 256, 1000, 4000, 40, 30
RATE, HELD_OUT, MOST_HELD_OUT = 3e-3, 0.1, 4096
FEWEST, UNITS = 20, 256  # pairs that are needed; hidden units at most, where their number is not given


def steps_for(rows: int) -> int:
    """How many steps an MLP of so many rows takes."""
    kept = rows - _held_out(rows)
    return min(MOST_STEPS, max(FEWEST_STEPS, PASSES * kept // min(BATCH, kept)))


def _held_out(rows: int) -> int:
    return min(MOST_HELD_OUT, max(1, round(HELD_OUT * rows)))


def improve(
    mlp: MLP,
    x: Vectors,
    y: Vectors,
    weights: Tensor | None,
    *,
    seed: int,
    stepped: Callable[[], None] | None = None,
) -> MLP:
    """Fit the hidden layer, and the affine part with it, to the mean squared error.

    A tenth of the rows, 4,096 at most, is held out; the state that is best there is kept, the affine start included.

    Args:
        mlp: as solved from the sums of these rows; changed in place.
        x, y: paired rows, ``FEWEST`` at least.
        weights: of the rows, shape (n,).
        seed: of the order of rows.
        stepped: is called after each step.

    Returns:
        The same module, at its best.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(x))
    held = _held_out(len(x))
    away, kept = np.sort(order[:held]), order[held:]
    spread = torch.as_tensor(_block(y, away).std(0)).mean().clamp(min=1e-12)
    size, steps = min(BATCH, len(kept)), steps_for(len(x))
    optimiser = torch.optim.Adam(mlp.parameters(), lr=RATE)
    plan = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps)))

    def loss(at: np.ndarray) -> Tensor:
        errors = ((mlp(_block(x, at)) - _block(y, at)) / spread).square().mean(1)
        w = torch.ones_like(errors) if weights is None else weights[at]
        found: Tensor = (errors * w).sum() / w.sum().clamp(min=1e-12)
        return found

    def look() -> float:
        with torch.no_grad():
            return float(loss(away))

    best, state, place = look(), _copied(mlp), len(kept)
    with torch.enable_grad():
        for step in range(1, steps + 1):
            if place + size > len(kept):
                place = 0
                generator.shuffle(kept)
            batch, place = np.sort(kept[place : place + size]), place + size
            optimiser.zero_grad()
            loss(batch).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            plan.step()
            if step % max(1, steps // LOOKS) == 0 and (found := look()) < best:
                best, state = found, _copied(mlp)
            if stepped is not None:
                stepped()
    mlp.load_state_dict(state)
    return mlp


def _block(side: Vectors, at: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(side.values[at if side.at is None else side.at[at]], dtype=np.float32))


def _copied(mlp: MLP) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in mlp.state_dict().items()}
