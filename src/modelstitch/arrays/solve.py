"""From sums to maps of rows: one for each way, and a second look at the rows for the families that need it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import ArrayError
from ..moments.moments import Moments
from ..stitchers.base import Site, Stitcher
from ..stitchers.families import FAMILIES, family_of
from ..stitchers.mlp import MLP
from .given import Vectors
from .hidden import UNITS, improve
from .maps import RowMap
from .relative import RELATIVE, WHITENED, relative, whitened
from .sums import PairSums

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
