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
from ..support.words import counted
from .given import Vectors, blocks_of
from .maps import Array, unit

_NAMES = ("mean_x", "mean_y", "xx", "yy", "xy")


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
        more = Moments.empty(*self.moments.xy.shape, both=both)
        lengths = torch.zeros_like(self.lengths)
        for x, y, w in blocks_of(old, new, weights=weights):
            if w is not None and not w.any():
                continue
            if directions:
                lengths += _lengths(x, y, w)
                x, y = unit(x), unit(y)
            single = x.dtype == y.dtype == np.float32
            try:
                more.update(
                    _tensor(x),
                    _tensor(y),
                    weights=None if w is None else torch.from_numpy(w),
                    dtype=torch.float32 if single else torch.float64,
                )
            except NonFiniteError as error:
                raise not_finite(old, new) from error
        found = self.moments + more
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
