"""Every measure again, slow and obvious: numpy, float64, explicit matrices and loops over their definitions.

Written apart from the fast code, which it checks; the tests hold both together to 1e-6. For small inputs
only. Each function takes x (n, p) and y (n, q) and raises MeasureError where the fast one refuses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from modelstitch.errors import MeasureError

Array: TypeAlias = NDArray[np.float64]

_RANK = 1e-6


def centred(x: Array) -> Array:
    """Columns minus their means, over the norm; a constant column becomes exactly 0."""
    out = np.zeros(x.shape)
    for j in range(x.shape[1]):
        column = x[:, j].astype(np.float64)
        spread = column.max() - column.min()
        if spread > 4 * np.finfo(np.float64).eps * np.abs(column).max():
            out[:, j] = column - math.fsum(column) / len(column)
    if not out.any():
        raise MeasureError("nothing varies")
    return np.asarray(out / np.sqrt((out**2).sum()))


def _pair(x: Array, y: Array, needed: int) -> tuple[Array, Array, int]:
    if len(x) < needed:
        raise MeasureError("too few examples")
    return centred(x), centred(y), len(x)


# CKA: tr(K H L H) with the centring matrix H written out.


def _hsic_biased(k: Array, kk: Array) -> float:
    n = len(k)
    h = np.eye(n) - np.ones((n, n)) / n
    return float(np.trace(k @ h @ kk @ h)) / (n - 1) ** 2


def _cka(k: Array, kk: Array) -> float:
    return _hsic_biased(k, kk) / math.sqrt(_hsic_biased(k, k) * _hsic_biased(kk, kk))


def cka_linear_biased(x: Array, y: Array) -> float:
    """Tr(KHLH) / sqrt(tr(KHKH) tr(LHLH)) of the Gram matrices."""
    x, y, _ = _pair(x, y, 3)
    return _cka(x @ x.T, y @ y.T)


def _hsic_unbiased(k: Array, kk: Array) -> float:
    """Song et al. (2012), equation 5, with the diagonals struck out."""
    n = len(k)
    k, kk = k * (1 - np.eye(n)), kk * (1 - np.eye(n))
    one = np.ones(n)
    first = np.trace(k @ kk)
    second = (one @ k @ one) * (one @ kk @ one) / ((n - 1) * (n - 2))
    third = 2 / (n - 2) * (one @ k @ kk @ one)
    return float((first + second - third) / (n * (n - 3)))


def cka_minibatch(x: Array, y: Array, batch: int = 128) -> float:
    """Unbiased HSIC of consecutive parts (4 examples at least), averaged by their sizes, then the ratio."""
    x, y, n = _pair(x, y, 4)
    sums, sizes = np.zeros(3), np.zeros(2)
    for start in range(0, n, batch):
        rows = np.arange(start, min(n, start + batch))
        if len(rows) < 4:
            continue
        a, b = x[rows] - x[rows].mean(0), y[rows] - y[rows].mean(0)
        k, kk = a @ a.T, b @ b.T
        sums += len(k) * np.array([_hsic_unbiased(k, kk), _hsic_unbiased(k, k), _hsic_unbiased(kk, kk)])
        sizes += np.array([(k**2).sum(), (kk**2).sum()]) / (len(k) - 3)
    if sums[1] <= 1e-9 * sizes[0] or sums[2] <= 1e-9 * sizes[1]:
        raise MeasureError("unbiased HSIC of one side is 0")
    return float(sums[0] / math.sqrt(sums[1] * sums[2]))


def cka_linear_debiased(x: Array, y: Array) -> float:
    """One minibatch of everything."""
    return cka_minibatch(x, y, batch=len(x))


def cka_rbf(x: Array, y: Array, fraction: float = 0.8) -> float:
    """CKA of Gaussian kernels, s = fraction of the median distance."""
    x, y, n = _pair(x, y, 3)
    kernels = []
    for side in (x, y):
        d = _distances(side)
        median = float(np.median([d[i, j] for i in range(n) for j in range(i)]))
        if median <= 1e-12 * d.max():
            raise MeasureError("median distance of 0")
        kernels.append(np.exp(-(d**2) / (2 * (fraction * median) ** 2)))
    return _cka(kernels[0], kernels[1])


def _distances(x: Array) -> Array:
    n = len(x)
    d = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            d[i, j] = math.sqrt(((x[i] - x[j]) ** 2).sum())
    return d


# CCA: squared canonical correlations are the eigenvalues of the product of both sides' projections.


def _projection(x: Array) -> tuple[Array, int]:
    return x @ np.linalg.pinv(x, rcond=_RANK), int(np.linalg.matrix_rank(x, tol=_RANK * np.linalg.norm(x, 2)))


def _canonical(x: Array, y: Array) -> tuple[Array, Array]:
    """Canonical correlations, falling, and x's unit variates as columns."""
    (px, rank_x), (py, rank_y) = _projection(x), _projection(y)
    if max(rank_x, rank_y) >= len(x) - 1:
        raise MeasureError("as many directions as examples")
    values, vectors = np.linalg.eigh(px @ py @ px)
    count = min(rank_x, rank_y)
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    return np.sqrt(np.clip(values, 0, 1)), vectors


def cca_mean_squared(x: Array, y: Array) -> float:
    """Mean of the squared canonical correlations."""
    x, y, _ = _pair(x, y, 3)
    return float((_canonical(x, y)[0] ** 2).mean())


def cca_mean(x: Array, y: Array) -> float:
    """Mean of the canonical correlations."""
    x, y, _ = _pair(x, y, 3)
    return float(_canonical(x, y)[0].mean())


def svcca(x: Array, y: Array, share: float = 0.99) -> float:
    """Mean canonical correlation of the leading components; equal ones at the edge are kept together."""
    x, y, _ = _pair(x, y, 3)
    reduced = []
    for side in (x, y):
        values, axes = np.linalg.eigh(side.T @ side)
        values, axes = values[::-1], axes[:, ::-1]
        count = 1
        while values[:count].sum() / values.sum() < share - 1e-9:
            count += 1
        while (
            count < len(values)
            and values[count] > 0
            and (math.sqrt(values[count - 1]) - math.sqrt(values[count]) <= 1e-9 * math.sqrt(values[0]))
        ):
            count += 1
        reduced.append(side @ axes[:, :count])
    return float(_canonical(reduced[0], reduced[1])[0].mean())


def pwcca(x: Array, y: Array) -> float:
    """Canonical correlations weighted by sum_j |<h_i, x_j>|; refused where only some of them are equal."""
    x, y, _ = _pair(x, y, 3)
    rho, variates = _canonical(x, y)
    if rho.max() - rho.min() <= 1e-7:
        return float(rho.mean())
    if len(rho) > 1 and (rho[:-1] ** 2 - rho[1:] ** 2).min() <= 1e-12:
        raise MeasureError("equal canonical correlations")
    weights = np.zeros(len(rho))
    for i in range(len(rho)):
        for j in range(x.shape[1]):
            weights[i] += abs(variates[:, i] @ x[:, j])
    return float((weights * rho).sum() / weights.sum())


# Procrustes: the best rotation, written out, on sides filled up with columns of zeros to equal width.


def procrustes_distance(x: Array, y: Array) -> float:
    """||XQ - Y||^2 for the best orthogonal Q."""
    x, y, n = _pair(x, y, 3)
    width = max(x.shape[1], y.shape[1])
    a, b = np.zeros((n, width)), np.zeros((n, width))
    a[:, : x.shape[1]], b[:, : y.shape[1]] = x, y
    u, _, vt = np.linalg.svd(a.T @ b)
    return float(((a @ (u @ vt) - b) ** 2).sum())


def procrustes_similarity(x: Array, y: Array) -> float:
    """One minus half the distance."""
    return 1 - procrustes_distance(x, y) / 2


def procrustes_angle(x: Array, y: Array) -> float:
    """The angle whose chord is the root of the distance."""
    return 2 * math.asin(min(1.0, math.sqrt(procrustes_distance(x, y)) / 2))


def r2_bottom_to_top(x: Array, y: Array) -> float:
    """One minus residual over total sum of squares of a least-squares fit."""
    x, y, n = _pair(x, y, 3)
    solution, _, rank, _ = np.linalg.lstsq(x, y, rcond=_RANK)
    if rank >= n - 1:
        raise MeasureError("as many directions as examples")
    return float(1 - ((y - x @ solution) ** 2).sum() / (y**2).sum())


def r2_top_to_bottom(x: Array, y: Array) -> float:
    """The other way."""
    return r2_bottom_to_top(y, x)


# Orders of distances; what differs by rounding alone is equal.


def _equal(a: float, b: float, largest: float) -> bool:
    return abs(a - b) <= 1e-9 * max(a, b) + 1e-12 * largest


def rsa(x: Array, y: Array) -> float:
    """Pearson's correlation of mean ranks."""
    x, y, n = _pair(x, y, 4)
    ranks = []
    for side in (x, y):
        d = _distances(side)
        flat = [float(d[i, j]) for i in range(n) for j in range(i)]
        order = sorted(range(len(flat)), key=flat.__getitem__)
        rank, start = np.zeros(len(flat)), 0
        while start < len(order):
            stop = start + 1
            while stop < len(order) and _equal(flat[order[stop]], flat[order[stop - 1]], max(flat)):
                stop += 1
            for place in order[start:stop]:
                rank[place] = (start + 1 + stop) / 2
            start = stop
        if rank.min() == rank.max():
            raise MeasureError("all distances are equal")
        ranks.append(rank)
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _neighbours(d: Array, i: int, k: int) -> dict[int, float]:
    """How far each example counts among the k nearest of i."""
    others = sorted(float(d[i, j]) for j in range(len(d)) if j != i)
    edge = others[k - 1]
    tied = [j for j in range(len(d)) if j != i and _equal(d[i, j], edge, d.max())]
    inside = [j for j in range(len(d)) if j != i and d[i, j] < edge and j not in tied]
    return {**dict.fromkeys(inside, 1.0), **dict.fromkeys(tied, (k - len(inside)) / len(tied))}


def mutual_knn(x: Array, y: Array, k: int = 10) -> float:
    """Mean shared part of the k nearest; ties share the last places equally."""
    x, y, n = _pair(x, y, k + 2)
    shared, sides = 0.0, [_distances(x), _distances(y)]
    for i in range(n):
        a, b = (_neighbours(d, i, k) for d in sides)
        shared += sum(min(a[j], b[j]) for j in a.keys() & b.keys())
    return shared / (k * n)


def jaccard_knn(x: Array, y: Array, k: int = 10) -> float:
    """Mean of intersection over union of two weighted sets of neighbours."""
    x, y, n = _pair(x, y, k + 2)
    sides, found = [_distances(x), _distances(y)], []
    for i in range(n):
        a, b = (_neighbours(d, i, k) for d in sides)
        every = a.keys() | b.keys()
        found.append(
            sum(min(a.get(j, 0), b.get(j, 0)) for j in every) / sum(max(a.get(j, 0), b.get(j, 0)) for j in every)
        )
    return float(np.mean(found))


def rank_knn(x: Array, y: Array, k: int = 10) -> float:
    """Mean agreement of the ranks of common neighbours; ties have the mean of their ranks."""
    x, y, n = _pair(x, y, k + 2)
    sides, found = [_distances(x), _distances(y)], []
    for i in range(n):
        ranks = []
        for d in sides:
            members = _neighbours(d, i, k)
            ranks.append({})
            for j in members:
                ties = [m for m in members if _equal(d[i, m], d[i, j], d.max())]
                below = [m for m in members if d[i, m] < d[i, j] and m not in ties]
                ranks[-1][j] = len(below) + (len(ties) + 1) / 2
        common = ranks[0].keys() & ranks[1].keys()
        best = sum(1 / v for v in range(1, len(common) + 1))
        parts = [2 / ((1 + abs(ranks[0][j] - ranks[1][j])) * (ranks[0][j] + ranks[1][j])) for j in common]
        found.append(sum(parts) / best if common else 0.0)
    return float(np.mean(found))


def rsm_difference(x: Array, y: Array) -> float:
    """The norm of the difference of Gram matrices."""
    x, y, _ = _pair(x, y, 3)
    return float(np.linalg.norm(x @ x.T - y @ y.T))


def distance_correlation(x: Array, y: Array) -> float:
    """The square root of dCov^2 over the root of both dVar^2, from double centred distances."""
    x, y, n = _pair(x, y, 3)
    h = np.eye(n) - np.ones((n, n)) / n
    a, b = h @ _distances(x) @ h, h @ _distances(y) @ h
    return math.sqrt(max(float((a * b).sum()), 0) / math.sqrt(float((a * a).sum()) * float((b * b).sum())))


def soft_matching(x: Array, y: Array) -> float:
    """The linear programme of the transport between features, written out."""
    x, y, _ = _pair(x, y, 3)
    p, q = x.shape[1], y.shape[1]
    gains = np.zeros((p, q))
    for i in range(p):
        for j in range(q):
            norms = np.linalg.norm(x[:, i]) * np.linalg.norm(y[:, j])
            gains[i, j] = x[:, i] @ y[:, j] / norms if norms else 0.0
    rows, columns = np.zeros((p, p, q)), np.zeros((q, p, q))
    for i in range(p):
        rows[i, i] = 1
    for j in range(q):
        columns[j, :, j] = 1
    equal = np.concatenate([rows.reshape(p, -1), columns.reshape(q, -1)])
    masses = np.concatenate([np.full(p, 1 / p), np.full(q, 1 / q)])
    return -float(linprog(-gains.ravel(), A_eq=equal, b_eq=masses).fun)


def procrustes_permutation(x: Array, y: Array) -> float:
    """The same by the linear programme over doubly stochastic matrices, both sides filled up with zeros."""
    x, y, n = _pair(x, y, 3)
    width = max(x.shape[1], y.shape[1])
    x, y = (np.concatenate([s, np.zeros((n, width - s.shape[1]))], 1) for s in (x, y))
    rows, columns = np.kron(np.eye(width), np.ones(width)), np.kron(np.ones(width), np.eye(width))
    best = linprog(-(x.T @ y).ravel(), A_eq=np.concatenate([rows, columns]), b_eq=np.ones(2 * width))
    return 2 + 2 * float(best.fun)


def gulp(x: Array, y: Array, ridge: float = 0.01) -> float:
    """Three traces, with inverses."""
    x, y, _ = _pair(x, y, 3)
    a, b, c = x.T @ x, y.T @ y, x.T @ y
    p, q = (np.linalg.inv(s + ridge * np.eye(len(s))) for s in (a, b))
    squared = np.trace(p @ a @ p @ a) + np.trace(q @ b @ q @ b) - 2 * np.trace(p @ c @ q @ c.T)
    return math.sqrt(max(float(squared), 0.0))


REFERENCES: dict[str, Callable[[Array, Array], float]] = {
    function.__name__: function
    for function in (
        cka_linear_biased,
        cka_linear_debiased,
        cka_minibatch,
        cka_rbf,
        cca_mean_squared,
        cca_mean,
        svcca,
        pwcca,
        procrustes_similarity,
        procrustes_distance,
        procrustes_angle,
        r2_bottom_to_top,
        r2_top_to_bottom,
        rsa,
        mutual_knn,
        jaccard_knn,
        rank_knn,
        rsm_difference,
        distance_correlation,
        soft_matching,
        procrustes_permutation,
        gulp,
    )
}
