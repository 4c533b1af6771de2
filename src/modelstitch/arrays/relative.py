"""Relative representations (Moschella et al. 2023), and the way back from them (Maiorca et al. 2024).

A sample is described by its cosines to anchors. Two models describe it alike, so that the description made in the old
space can be read in the new one: as the direction whose cosines to the new anchors are nearest to it. With the unit
rows A and B of the anchors in both spaces that direction is pinv(B) A x, which the sums of products of A and B hold: no
anchor has to be kept, and more of them may come at any time.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..moments.moments import Moments
from .given import Vectors, blocks_of
from .maps import Array, RowMap, unit

FAMILIES = RELATIVE, WHITENED = ("relative", "relative-whitened")
CUTOFF = 1e-6  # of the largest eigenvalue of the anchors' products, below which a direction is not described
FLOOR = 1e-2  # of the mean eigenvalue, below which no direction is stretched by whitening


def cosines(x: Array, anchors: Array) -> Array:
    """Relative representations (n, anchors) of rows x (n, p), with anchors (k, p)."""
    return unit(x) @ unit(anchors).T


def relative(moments: Moments, length: float) -> RowMap:
    """The map of the sums of unit rows; what it gives is as long as new rows are on the mean."""
    p, q = moments.xy.shape
    return RowMap(length * _directions(moments), np.zeros(q), direction=(np.eye(p), np.zeros(p)))


def whitened(moments: Moments, x: Vectors, y: Vectors, weights: NDArray[np.float64] | None) -> tuple[RowMap, RowMap]:
    """The maps there and back of rows that are whitened first, each side by its own sums; a second pass."""
    (turn_x, home_x), (turn_y, home_y) = (_whitening(square, moments.n) for square in (moments.xx, moments.yy))
    mean_x, mean_y = moments.mean_x.numpy(), moments.mean_y.numpy()
    sums, lengths, mass = Moments.empty(*moments.xy.shape), np.zeros(2), 0.0
    for a, b, w in blocks_of(x, y, weights=weights):
        if w is None or w.any():
            sides = (a - mean_x) @ turn_x, (b - mean_y) @ turn_y
            w = np.ones(len(a)) if w is None else w
            lengths += [w @ np.linalg.norm(side, axis=1) for side in sides]
            mass += w.sum()
            sums.update(*(torch.from_numpy(unit(side)) for side in sides), weights=torch.from_numpy(w))
    there, back = lengths[1] / mass * home_y @ _directions(sums), lengths[0] / mass * home_x @ _directions(turned(sums))
    return (
        RowMap(there, mean_y, direction=(turn_x, -turn_x @ mean_x)),
        RowMap(back, mean_x, direction=(turn_y, -turn_y @ mean_y)),
    )


def turned(moments: Moments) -> Moments:
    """The sums of the same pairs, the other way."""
    return Moments(moments.n, moments.mean_y, moments.mean_x, moments.yy, moments.xx, moments.xy.T.contiguous())


def _directions(moments: Moments) -> Array:
    """pinv(B) A (q, p), of the sums of unit rows of both sides."""
    yy = moments.yy + moments.n * torch.outer(moments.mean_y, moments.mean_y)
    yx = moments.xy.T + moments.n * torch.outer(moments.mean_y, moments.mean_x)
    values, vectors = torch.linalg.eigh(yy)
    kept = values > CUTOFF * values[-1]
    inverse = torch.where(kept, 1 / torch.where(kept, values, 1), 0)
    found: Array = (vectors @ (inverse[:, None] * (vectors.T @ yx))).numpy()
    return found


def _whitening(square: Tensor, n: float) -> tuple[Array, Array]:
    """The symmetric matrix that whitens rows with these centred sums, and its inverse."""
    values, vectors = torch.linalg.eigh(square / n)
    values = values.clamp(min=max(FLOOR * float(values.mean()), torch.finfo(values.dtype).tiny))
    there, back = ((vectors * values**power) @ vectors.T for power in (-0.5, 0.5))
    return there.numpy(), back.numpy()
