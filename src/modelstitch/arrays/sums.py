"""What one pass over pairs of rows leaves: the sums that every closed form is solved from, and what to know of them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import ArrayError, NonFiniteError
from ..moments.moments import Moments
from ..support.fast.products import inner
from ..support.words import counted
from .given import Vectors, blocks_of
from .maps import Array, unit

_NAMES = ("mean_x", "mean_y", "xx", "yy", "xy")
_MANY = 1024  # rows of a block from which a copy of it costs more than three sums of their own
_FAR = 0.25  # squared mean of a column, in its variances, up to which products of raw rows are as good
_LOOK = 128  # rows that tell a column's variance well enough for that


@dataclass
class PairSums:
    """Centred second moments of pairs of rows, to which more pairs can be added.

    Attributes:
        moments: the sums; of rows at length 1 for a relative map.
        lengths: the sums of the lengths of both sides' rows, (2,); zeros where rows are summed as they are.
        samples: pairs that were summed; those of weight 0 do not count.
    """

    moments: Moments
    lengths: Tensor
    samples: int

    @classmethod
    def empty(cls, p: int, q: int, *, both: bool) -> Self:
        """Make the sums of no pairs; with ``both``, products of the new rows with themselves are summed, too."""
        return cls(Moments.empty(p, q, both=both), torch.zeros(2, dtype=torch.float64), 0)

    def add(
        self, old: Vectors, new: Vectors, weights: NDArray[np.float64] | None = None, *, directions: bool = False
    ) -> None:
        """Add pairs of rows, in single precision where both sides are: half the time, good to about 1e-6.

        All are added, or none: an error leaves the sums as they were.

        Args:
            old: rows (n, p).
            new: rows (n, q).
            weights: of the pairs, (n,).
            directions: sum rows of length 1.

        Raises:
            ArrayError: a row holds NaN or infinity, or the sums do.
        """
        both = bool(self.moments.yy.numel())
        raw, others = _RawSums(both=both), Moments.empty(*self.moments.xy.shape, both=both)
        lengths = torch.zeros_like(self.lengths)
        for x, y, w in blocks_of(old, new, weights=weights):
            if w is not None and not w.any():
                continue
            if directions:
                lengths += _lengths(x, y, w)
                x, y = unit(x), unit(y)
            single = x.dtype == y.dtype == np.float32
            left, right = _tensor(x), _tensor(y)
            if single and w is None and raw.take(left, right):
                continue
            try:
                others.update(
                    left,
                    right,
                    weights=None if w is None else torch.from_numpy(w),
                    dtype=torch.float32 if single else torch.float64,
                )
            except NonFiniteError as error:
                raise not_finite(old, new) from error
        found = _together(self.moments, raw.moments(), others)
        if not all(bool(torch.isfinite(getattr(found, name)).all()) for name in _NAMES):
            raise not_finite(old, new)
        self.moments, self.lengths = found, self.lengths + lengths
        self.samples += len(old) if weights is None else int((weights > 0).sum())

    def notes(self) -> list[str]:
        """What is to be known of these pairs, in sentences."""
        found, moments = [], self.moments
        for side, sums, mean in (("old", moments.xx, moments.mean_x), ("new", moments.yy, moments.mean_y)):
            if sums.numel():
                still = int((sums.diagonal() <= moments.n * (1e-6 * mean) ** 2).sum())
                if still:
                    found.append(f"{counted(still, 'column')} of {len(mean)} of the {side} embeddings never change.")
        if self.samples <= len(moments.mean_x):
            found.append(
                f"{self.samples:,} pairs span fewer directions than the {len(moments.mean_x):,} columns of the old "
                "embeddings: what lies outside them is mapped to the mean."
            )
        return found

    def tensors(self) -> dict[str, Tensor]:
        """Its tensors by name."""
        return {name: getattr(self.moments, name) for name in _NAMES} | {"lengths": self.lengths}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], mass: float, samples: int) -> Self:
        """The sums of which ``tensors`` gave the numbers.

        Raises:
            KeyError: one is missing.
        """
        return cls(Moments(mass, *(tensors[name] for name in _NAMES)), tensors["lengths"], samples)


class _RawSums:
    """Sums of products of rows as they are read, from which their means are taken at the end: no row is copied.

    Only blocks of which no column lies far from zero come here, so that hardly a digit is lost.
    """

    def __init__(self, *, both: bool) -> None:
        self.n, self.both = 0, both
        self.sums: list[Tensor] = []

    def take(self, x: Tensor, y: Tensor) -> bool:
        """Add a block, unless it has few rows, a column far from zero, or one that is not finite."""
        if len(x) < _MANY:
            return False
        means = x.mean(0), y.mean(0)
        step = len(x) // _LOOK
        for mean, side in zip(means, (x, y)):
            if not bool((mean * mean <= _FAR * (side[::step] - mean).square().mean(0)).all()):
                return False
        found = [*(len(x) * m.double() for m in means), inner(x), inner(x, y), *([inner(y)] if self.both else [])]
        if self.sums:
            for total, part in zip(self.sums, found):
                total += part
        else:
            self.sums = [part.double() for part in found]
        self.n += len(x)
        return True

    def moments(self) -> Moments | None:
        """The sums of all blocks, centred; nothing where there was none."""
        if not self.n:
            return None
        sum_x, sum_y, xx, xy, *yy = self.sums
        mean_x, mean_y = sum_x / self.n, sum_y / self.n
        xx.addr_(mean_x, mean_x, alpha=-self.n)
        xy.addr_(mean_x, mean_y, alpha=-self.n)
        for square in yy:
            square.addr_(mean_y, mean_y, alpha=-self.n)
        return Moments(self.n, mean_x, mean_y, xx, yy[0] if yy else xx.new_zeros(0, 0), xy)


def not_finite(*sides: Vectors) -> ArrayError:
    """The error of rows or sums that are not finite, which names the first such number."""
    for side in sides:
        place = side.first_not_finite()
        if place is not None:
            value = side.values[place]
            return ArrayError(
                f"{side.name[:1].upper()}{side.name[1:]} hold {'NaN' if np.isnan(value) else 'inf'} in row "
                f"{place[0]:,}, column {place[1]:,}: expected finite numbers; leave such rows out of both arrays."
            )
    return ArrayError("The embeddings are so large that their sums are inf: expected smaller numbers; rescale them.")


def _tensor(block: Array) -> Tensor:
    """The same memory. Nothing is written to it, so that a file may be read in place, of which torch would warn."""
    block = np.require(block, requirements="A") if min(block.strides) >= 0 else np.ascontiguousarray(block)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(block)


def _lengths(x: Array, y: Array, weights: NDArray[np.float64] | None) -> Tensor:
    """The summed lengths of the rows of both sides."""
    each = np.ones(len(x)) if weights is None else weights
    return torch.tensor([float(each @ np.linalg.norm(side, axis=1)) for side in (x, y)])


def _together(*parts: Moments | None) -> Moments:
    """The sums of all parts; the first is there, and may be empty."""
    found, *others = (part for part in parts if part is not None)
    for part in others:
        if part.n:
            found = found + part if found.n else part
    return found
