"""The directions in which activations vary, and the cosines between those of two sides.

All that CCA, SVCCA, PWCCA and linear regression need; equally from activations and from moments.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import MeasureError
from ..moments.moments import Known, Moments
from .checks import Activations, pair, scaled

# A direction counts if its standard deviation exceeds this share of the largest. Moments hold squares, of
# which float64 resolves 1e-16, so that a share of 1e-6 is the least that both ways can tell from rounding.
# Moments kept in float32 resolve 1e-7 of the squares.
RANK_TOLERANCE = 1e-6
RANK_TOLERANCE_FLOAT32 = 3e-3
# Singular values closer than this share of the largest are not told apart.
_EQUAL = 1e-9


@dataclass(frozen=True)
class PrincipalAxes:
    """The principal directions of one side.

    Attributes:
        scale: singular values of the centred activations, falling, shape (r,).
        directions: right singular vectors, shape (features, r).
    """

    scale: Tensor
    directions: Tensor

    @property
    def rank(self) -> int:
        """The number of directions."""
        return len(self.scale)

    def holding(self, share: float) -> int:
        """How many leading directions hold that share of the variance; equal ones are kept together."""
        part = self.scale.square().cumsum(0) / self.scale.square().sum()
        count = int((part < share - _EQUAL).sum()) + 1
        while count < self.rank and self.scale[count - 1] - self.scale[count] <= _EQUAL * self.scale[0]:
            count += 1
        return count


@dataclass(frozen=True)
class Subspaces:
    """Two sides seen over the same n examples.

    Attributes:
        n: the number of examples.
        x, y: the directions of either side, ranks r and s.
        cross: the cosines, over examples, between the coordinates along them, shape (r, s).
        slack: by how much rounding may push a correlation beyond 1, in the least direction that counts.
    """

    n: int
    x: PrincipalAxes
    y: PrincipalAxes
    cross: Tensor
    slack: float = 1e-9

    @classmethod
    def of(cls, x: Activations, y: Activations, measure: str) -> Subspaces:
        """From activations x (n, p), y (n, q), by singular value decompositions; n >= 3."""
        x, y = pair(x, y, measure=measure, needed=3)
        sides, coordinates = [], []
        for side in (x, y):
            u, s, vt = torch.linalg.svd(side, full_matrices=False)
            rank = int((s > RANK_TOLERANCE * s[0]).sum())
            sides.append(PrincipalAxes(s[:rank], vt[:rank].T))
            coordinates.append(u[:, :rank])
        return cls(len(x), sides[0], sides[1], coordinates[0].T @ coordinates[1])

    @classmethod
    def from_moments(cls, moments: Moments, measure: str) -> Subspaces:
        """From sums over examples, by eigendecompositions; n >= 3."""
        m = scaled(moments, measure=measure, needed=3)
        known: Subspaces | None = m.joint.get("subspaces")
        if known is not None:
            return known
        exact = moments.xx.dtype == torch.float64
        tolerance, slack = (RANK_TOLERANCE, 1e-3) if exact else (RANK_TOLERANCE_FLOAT32, 3e-2)
        a, b = (_axes(square, tolerance, side) for square, side in zip((m.xx, m.yy), m.known))
        cross = (a.directions / a.scale).T @ m.xy @ (b.directions / b.scale)
        found = m.joint["subspaces"] = cls(int(m.n), a, b, cross, slack)
        return found

    def leading(self, share: float) -> Subspaces:
        """Only the leading directions of each side that hold that share of its variance."""
        r, s = self.x.holding(share), self.y.holding(share)
        x = PrincipalAxes(self.x.scale[:r], self.x.directions[:, :r])
        y = PrincipalAxes(self.y.scale[:s], self.y.directions[:, :s])
        return Subspaces(self.n, x, y, self.cross[:r, :s], self.slack)

    def refuse_saturated(self, measure: str, *axes: PrincipalAxes) -> None:
        """Refuse where a side's directions alone reach everything that n examples can do.

        n centred examples span n - 1 dimensions: a side of that rank predicts any other perfectly.

        Raises:
            MeasureError: with the number of examples that suffices.
        """
        rank = max(axis.rank for axis in axes)
        if rank >= self.n - 1:
            widths = max(len(axis.directions) for axis in axes)
            raise MeasureError(
                f"{measure} is 1 whatever the activations where they vary in as many directions as n "
                f"examples can, n - 1: found {rank} directions in {self.n} examples; use more than "
                f"{widths + 1} examples, or a measure without a fitted map, such as cka_linear_debiased."
            )


def _axes(square: Tensor, tolerance: float, known: Known) -> PrincipalAxes:
    """The directions of a side from its sums; worked out once for all that it is compared with."""
    found: PrincipalAxes | None = known.get("axes")
    if found is None:
        values, vectors = torch.linalg.eigh(square)
        values, vectors = values.flip(0), vectors.flip(1)
        rank = int((values > tolerance**2 * values[0]).sum())
        found = known["axes"] = PrincipalAxes(values[:rank].sqrt(), vectors[:, :rank])
    return found
