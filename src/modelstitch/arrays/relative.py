"""Relative maps of arrays: the algebra of ``stitchers/relative.py`` on sums of unit rows, which may grow."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ..moments.moments import Moments
from ..stitchers.relative import Relative, WhitenedRelative, directions, whitening
from .given import Vectors, blocks_of
from .maps import Array, RowMap, unit

FAMILIES = RELATIVE, WHITENED = (Relative.family, WhitenedRelative.family)


def cosines(x: Array, anchors: Array) -> Array:
    """Relative representations (n, anchors) of rows x (n, p), with anchors (k, p)."""
    return unit(x) @ unit(anchors).T


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
