"""Roots and spectra of sums of few rows: of fewer than there are columns, which is what wide layers often have.

The sums of n centred rows of p channels have rank n - 1 at most. A Cholesky decomposition that picks its pivots finds a
root of that many columns in p n^2 multiplications, where all eigenvectors of the p x p matrix take some 9 p^3.
"""

from __future__ import annotations

import torch
from torch import Tensor

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
