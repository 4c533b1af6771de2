"""Products of long, narrow matrices, of which all sums are made, and the roots and spectra of such sums.

On the CPU they go through numpy: in float64 its BLAS takes them in less time than torch's, the less the narrower they
are, and a matrix with itself by half the multiplications. It is kept to one thread, since its others, once woken, hold
the cores that torch wants next; so torch does it itself where it has more threads than that gains.

Wide layers often have sums of fewer rows than columns. Those of n centred rows of p channels have rank n - 1 at most: a
Cholesky decomposition that picks its pivots finds a root of that many columns in p n^2 multiplications, where all
eigenvectors of the p x p matrix take some 9 p^3.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import torch
from threadpoolctl import LibController, ThreadpoolController
from torch import Tensor

_GAIN = 2  # torch's threads that numpy's one makes up for, in float64 or with half the multiplications
_BAND = 2**26  # bytes of a product that is made at once, on its way into sums


def inner(x: Tensor, y: Tensor | None = None) -> Tensor:
    """x'y, shape (p, q), of rows x (n, p) and y (n, q); x'x without ``y``."""
    gains = y is None or x.dtype == torch.float64  # of two sides in single precision torch is as quick
    if not (gains and _by_numpy(*((x,) if y is None else (x, y)))):
        return x.T @ (x if y is None else y)
    left = x.detach().numpy()
    with _one_thread(), np.errstate(all="ignore"):  # an overflow is named by whoever asks for the sums
        return torch.from_numpy(np.matmul(left.T, left if y is None else y.detach().numpy()))


def add_inner(sums: Tensor, x: Tensor, y: Tensor | None = None) -> None:
    """Add x'y to sums (p, q) in place, or x'x without ``y``; a large product is made in bands, never whole.

    Args:
        sums: what is added to.
        x: rows (n, p).
        y: rows (n, q).
    """
    band = max(1, _BAND // (sums.element_size() * max(1, sums.shape[1])))
    if band >= len(sums):
        sums += inner(x, y)
        return
    for start in range(0, len(sums), band):
        end = min(start + band, len(sums))
        if y is not None:
            sums[start:end] += inner(x[:, start:end], y)
        else:  # of a matrix with itself the half above the diagonal, and what mirrors it
            made = inner(x[:, start:end], x[:, start:])
            sums[start:end, start:] += made
            sums[end:, start:end] += made[:, end - start :].T


def stacked(step: Tensor, rows: Tensor) -> Tensor:
    """One matrix (q, p) with each of many: shape (n, q, c) of rows (n, p, c)."""
    if not _by_numpy(step, rows):
        return torch.matmul(step, rows)
    with _one_thread(), np.errstate(all="ignore"):
        return torch.from_numpy(np.matmul(step.numpy(), rows.detach().numpy()))


def gram(a: Tensor, b: Tensor | None = None) -> Tensor:
    """The products of the rows of a (n, p) with those of b (m, p), or with themselves: shape (n, m).

    Rows are wide here, and then torch gains from its second thread already.
    """
    if torch.get_num_threads() == 1:
        return inner(a.T, None if b is None else b.T)
    return a @ (a if b is None else b).T


def _by_numpy(*operands: Tensor) -> bool:
    x = operands[0]
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
        return False
    if torch.is_grad_enabled() and any(o.requires_grad for o in operands):
        return False  # a loss may be made of sums
    most = _GAIN if len(operands) == 1 or x.dtype == torch.float64 else 1
    return torch.get_num_threads() <= most


@contextmanager
def _one_thread() -> Iterator[None]:
    """As threadpoolctl's own limits, which look at every library for each product anew.

    They take longer than the product.
    """
    before = [(library, library.get_num_threads()) for library in _libraries()]
    for library, threads in before:
        if threads != 1:
            library.set_num_threads(1)
    try:
        yield
    finally:
        for library, threads in before:
            if threads != 1:
                library.set_num_threads(threads)


@cache
def _libraries() -> list[LibController]:
    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


WIDE = 512  # columns from which it is worth it
_FEW = 2  # times as many columns as rows, at least


def few(rows: float, columns: int) -> bool:
    """Whether sums of so many rows are known by their root: wide, and of fewer rows than half their columns."""
    return columns >= WIDE and _FEW * rows <= columns


def root(square: Tensor, rows: float) -> Tensor | None:
    """C (p, r) with C C' = square, of the sums of so many centred rows; None where these are not few.

    Args:
        square: (p, p), positive semi-definite.
        rows: that were summed.
    """
    if not few(rows, len(square)) or not bool(torch.isfinite(square.diagonal()).all()):
        return None
    from scipy.linalg import lapack  # takes a while to import, and few ask for it

    held = square.detach().to("cpu", torch.float64).numpy()
    lower, pivots, rank, _ = lapack.dpstrf(held, lower=1)
    found = torch.from_numpy(lower[:, :rank]).tril()
    whole = torch.empty_like(found)
    whole[torch.from_numpy(pivots.astype("int64") - 1)] = found
    return whole.to(square)


def spectrum(square: Tensor, rows: float) -> tuple[Tensor, Tensor]:
    """Eigenvalues in rising order, and eigenvectors in columns, of the sums of so many centred rows.

    Of few rows those alone that are not zero.
    """
    half = root(square, rows)
    if half is None or not half.shape[1]:
        values, vectors = torch.linalg.eigh(square)
        return values, vectors
    values, turned = torch.linalg.eigh(half.T @ half)
    kept = values > 0
    return values[kept], half @ (turned[:, kept] / values[kept].sqrt())
