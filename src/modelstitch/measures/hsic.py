"""Linear CKA of every pair of layers from sums over blocks of Gram matrices, which are never kept.

A Gram matrix of wide rows costs as much as a convolution, so that each is made once, for all pairs of layers. Sums are
float64 whatever the Gram matrices are; the definitions are those of ``modelstitch.measures.cka``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import MeasureError
from ..moments.null import derangement
from .checks import Activations, bounded, constant_message, pair
from .cka import BIASED, DEBIASED, MINIBATCH, require_spread

# Rows enter with a rough mean taken off. Where what the exact centring leaves is so small a share of the squares, it is
# the rounding of rows that are all alike.
_ALL_ALIKE = 1e-10


def minibatch_cka(x: Activations, y: Activations, *, batch: int = 128) -> float:
    """Compute linear CKA from averages over minibatches (Nguyen et al. 2021, eq. 2).

    The rows are cut, in order, into minibatches of ``batch``; the last may hold fewer, and is left out below 4. Each
    counts by its size.

    Args:
        x: activations of one side, a tensor or an array (n, p).
        y: of the other side for the same n examples, (n, q).
        batch: examples in a minibatch, 4 or more.

    Returns:
        The similarity, at most 1.

    Raises:
        MeasureError, NonFiniteError: as ``linear_cka_debiased``; ``batch`` below 4.

    Examples:
        >>> round(ms.measures.minibatch_cka(x, y, batch=20), 3)
        0.558
    """
    if batch < 4:
        raise MeasureError(f"{MINIBATCH} needs at least 4 examples in a minibatch, found batch={batch}.")
    x, y = pair(x, y, measure=MINIBATCH, needed=4)
    sums, cuts = MinibatchSums(["X"], ["Y"]), list(range(batch, len(x), batch))
    for parts in zip(x.tensor_split(cuts), y.tensor_split(cuts)):
        sums.update(*((rows @ rows.T)[None] for rows in parts))
    return sums.cka("X", "Y")


class MinibatchSums:
    """Unbiased HSIC of every bottom layer with every top layer, averaged over minibatches by their sizes.

    Args:
        bottoms, tops: the layers' names.
        shuffles: pairings within each minibatch, for the null level.
        seed: of the pairings.
    """

    def __init__(self, bottoms: Sequence[str], tops: Sequence[str], *, shuffles: int = 0, seed: int = 0) -> None:
        self.bottoms, self.tops = list(bottoms), list(tops)
        p, q = len(self.bottoms), len(self.tops)
        self._cross = torch.zeros(shuffles + 1, p, q, dtype=torch.float64)
        self._own = [torch.zeros(n, dtype=torch.float64) for n in (p, q)]
        self._floor = [torch.zeros(n, dtype=torch.float64) for n in (p, q)]
        self._alike = [torch.ones(n, dtype=torch.bool) for n in (p, q)]
        self._generator = torch.Generator().manual_seed(seed)
        self.examples = 0

    def update(self, bottom: Tensor, top: Tensor) -> None:
        """Add a minibatch of n examples: Gram matrices (bottoms, n, n) and (tops, n, n); n below 4 is left out.

        Where both sides are the same layers, give one tensor twice: it is worked out once.
        """
        n = bottom.shape[-1]
        if n < 4:
            return
        weight = n / (n * (n - 3))
        sides = []
        for at, grams in enumerate((bottom,) if top is bottom else (bottom, top)):
            full = grams.to(torch.float64)
            sums = full.sum(2)
            squares = _squares(full)
            spread = squares - 2 / n * sums.square().sum(1) + (sums.sum(1) / n).square()
            self._alike[at] &= (spread <= _ALL_ALIKE * squares).cpu()
            self._floor[at] += weight * spread.cpu()
            flat = u_centred(full).flatten(1)
            self._own[at] += weight * _squares(flat).cpu()
            sides.append(flat)
        if top is bottom:
            self._own[1], self._floor[1], self._alike[1] = self._own[0], self._floor[0], self._alike[0]
        self._cross[0] += weight * (sides[0] @ sides[-1].T).cpu()
        square = sides[-1].view(-1, n, n)
        for cross in self._cross[1:]:
            order = derangement(n, self._generator).to(square.device)
            cross += weight * (sides[0] @ square[:, order][:, :, order].flatten(1).T).cpu()
        self.examples += n

    def cka(self, bottom: str, top: str, shuffle: int | None = None) -> float:
        """The minibatch CKA of two layers; ``shuffle``: under that pairing.

        Raises:
            MeasureError: fewer than 4 examples, or a layer that does not vary.
        """
        if not self.examples:
            raise MeasureError(f"{MINIBATCH} needs at least 4 examples in a minibatch, found fewer: add examples.")
        i, j = self.bottoms.index(bottom), self.tops.index(top)
        found = []
        for at, (name, place) in enumerate(((bottom, i), (top, j))):
            if bool(self._alike[at][place]):
                raise MeasureError(constant_message(MINIBATCH, name))
            own = float(self._own[at][place])
            require_spread(own, float(self._floor[at][place]), name, MINIBATCH)
            found.append(own)
        cross = float(self._cross[0 if shuffle is None else shuffle + 1, i, j])
        return bounded(cross / math.sqrt(found[0] * found[1]), -1, 1, MINIBATCH, slack=1e-6)


class FullSums:
    """HSIC of every bottom layer with every top layer over all examples, block by block of the n x n Gram matrices.

    Args:
        n: examples in all.
        bottoms, tops: the layers' names.
        shuffles: pairings within chunks of examples, for the null level.
        seed: of the pairings.
    """

    def __init__(
        self, n: int, bottoms: Sequence[str], tops: Sequence[str], *, shuffles: int = 0, seed: int = 0
    ) -> None:
        self.n, self.bottoms, self.tops, self.shuffles, self._seed = n, list(bottoms), list(tops), shuffles, seed
        p, q = len(self.bottoms), len(self.tops)

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64)

        self._cross = zeros(shuffles + 1, p, q)
        self._own = [zeros(p), zeros(q)]
        self._rows = [zeros(p, n), zeros(q, n)]
        self._diagonals = [zeros(p, n), zeros(q, n)]
        self._orders = torch.arange(n).repeat(shuffles, 1)

    def add(self, first: int, second: int, bottom: Tensor, top: Tensor) -> None:
        """Add the block of examples ``first`` on with examples ``second`` on, first <= second; each block once.

        Args:
            bottom, top: shapes (bottoms, a, b), (tops, a, b); one tensor twice where both sides are the same layers.
        """
        a, b = bottom.shape[1:]
        same = first == second
        flats = []
        for at, block in enumerate((bottom,) if top is bottom else (bottom, top)):
            full = block.to(torch.float64)
            if same:
                diagonal = full.diagonal(dim1=1, dim2=2)
                self._diagonals[at][:, first : first + a] = diagonal.cpu()
                full = full - torch.diag_embed(diagonal)
            self._rows[at][:, first : first + a] += full.sum(2).cpu()
            if not same:
                self._rows[at][:, second : second + b] += full.sum(1).cpu()
            flat = full.flatten(1)
            self._own[at] += (1 if same else 2) * _squares(flat).cpu()
            flats.append(flat)
        if top is bottom:
            for held in (self._diagonals, self._rows, self._own):
                held[1] = held[0]
        times = 1 if same else 2
        self._cross[0] += times * (flats[0] @ flats[-1].T).cpu()
        square = flats[-1].view(-1, a, b)
        for k in range(self.shuffles):
            down, across = self._order(k, first, a), self._order(k, second, b)
            moved = square[:, down.to(square.device)][:, :, across.to(square.device)].flatten(1)
            self._cross[k + 1] += times * (flats[0] @ moved.T).cpu()
            if same:
                self._orders[k, first : first + a] = first + down

    def cka(self, bottom: str, top: str, *, debiased: bool, shuffle: int | None = None) -> float:
        """Linear CKA of two layers over all examples; ``shuffle``: under that pairing.

        Raises:
            MeasureError: too few examples, or a layer that does not vary.
        """
        measure, needed = (DEBIASED, 4) if debiased else (BIASED, 3)
        if self.n < needed:
            raise MeasureError(f"{measure} needs at least {needed} examples, found {self.n}: add more examples.")
        i, j = self.bottoms.index(bottom), self.tops.index(top)
        order = self._orders[shuffle] if shuffle is not None else None
        own = []
        for at, (name, place) in enumerate(((bottom, i), (top, j))):
            rows, diagonal, squares = self._rows[at][place], self._diagonals[at][place], self._own[at][place]
            biased, unbiased = self._hsic(squares, rows, rows, diagonal, diagonal)
            if biased <= _ALL_ALIKE * float(squares + diagonal.square().sum()):
                raise MeasureError(constant_message(measure, name))
            if debiased:
                require_spread(unbiased, biased, name, measure)
            own.append(unbiased if debiased else biased)
        rows, diagonal = self._rows[1][j], self._diagonals[1][j]
        if order is not None:
            rows, diagonal = rows[order], diagonal[order]
        cross = self._cross[0 if shuffle is None else shuffle + 1, i, j]
        value = self._hsic(cross, self._rows[0][i], rows, self._diagonals[0][i], diagonal)[int(debiased)]
        return bounded(value / math.sqrt(own[0] * own[1]), -1.0 if debiased else 0.0, 1, measure, slack=1e-6)

    def _hsic(self, cross: Tensor, r: Tensor, s: Tensor, d: Tensor, e: Tensor) -> tuple[float, float]:
        """(biased, unbiased), both times n (n - 3) or its like, from sums without diagonals and the diagonals."""
        n = self.n
        full, a, b = cross + d @ e, r + d, s + e
        biased = full - 2 / n * (a @ b) + a.sum() * b.sum() / n**2
        if n < 4:
            return float(biased), math.nan
        unbiased = cross - 2 / (n - 2) * (r @ s) + r.sum() * s.sum() / ((n - 1) * (n - 2))
        return float(biased), float(unbiased)

    def _order(self, shuffle: int, first: int, size: int) -> Tensor:
        seed = (self._seed * 1_000_003 + shuffle) * 1_000_003 + first
        return derangement(size, torch.Generator().manual_seed(seed % 2**63))


def _squares(many: Tensor) -> Tensor:
    """The sum of each one's squares."""
    flat = many.flatten(1)
    squares: Tensor = torch.linalg.vecdot(flat, flat)
    return squares


def u_centred(grams: Tensor) -> Tensor:
    """Gram matrices (k, n, n) so centred that their products are the unbiased HSIC (Szekely and Rizzo 2014)."""
    n = grams.shape[-1]
    centred = grams.clone()
    centred.diagonal(dim1=1, dim2=2).zero_()
    sums = centred.sum(2)
    half = sums / (n - 2) - sums.sum(1, keepdim=True) / (2 * (n - 1) * (n - 2))  # of what rows and columns lose
    centred -= half[:, :, None]
    centred -= half[:, None, :]
    centred.diagonal(dim1=1, dim2=2).zero_()
    return centred
