"""What every stitcher is: a small map on the channels of an activation, solved or started from moments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import FitError, NonFiniteError, ShapeError
from ..moments.moments import Moments

Bring: TypeAlias = Callable[[Tensor], Tensor]  # rows (n, c) -> rows (n, d)


@dataclass(frozen=True)
class Site:
    """Where a stitcher stands.

    Attributes:
        p, q: channels that come in and go out.
        kind: layout of the activation: "map", "sequence", "grid", "tokens", "vector", "volume" or "lattice".
    """

    p: int
    q: int
    kind: str


class Stitcher(nn.Module):
    """A map from p to q channels, the same at every position.

    A family overrides ``solve`` (from moments, no data) and ``forward``. Families whose members cannot be
    reached by gradient steps without leaving the family set ``trainable = False``.

    Attributes:
        family: the name, as users write it.
        invariance: in words, which changes of the bottom's channels leave the solved stitch as good as it was.
        invariant: the same as names that ``check`` tests: "shift", "scale" (one for all
            channels, positive), "channel scales" (positive), "permutation", "orthogonal", "linear" (invertible).
        solved: how, in words.
        trainable: whether gradient steps stay inside the family.
        solves: whether ``solve`` reads the moments.
        closed: whether ``solve`` gives the best member; else only a start, from which it is to be fitted.
        option, option_is: what the number after the colon of a written family is called, and its type.
    """

    family: ClassVar[str] = ""
    invariance: ClassVar[str] = ""
    invariant: ClassVar[tuple[str, ...]] = ()
    solved: ClassVar[str] = ""
    trainable: ClassVar[bool] = True
    solves: ClassVar[bool] = True
    closed: ClassVar[bool] = True
    normalised: ClassVar[bool] = False  # its parameters live in normalised coordinates and bear larger steps
    option: ClassVar[str] = ""
    option_is: ClassVar[type[int] | type[float]] = int

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.site = site

    @classmethod
    def solve(cls, moments: Moments, site: Site, **options: Any) -> Self:
        """The least-squares member of the family, from centred moments of rows (n, p) and (n, q).

        Raises:
            FitError: if there are fewer than two rows.
            NonFiniteError: if the moments hold NaN or infinity.
            ShapeError: if the family has no member for the site.
        """
        raise NotImplementedError  # pragma: no cover - every family has its own

    @classmethod
    def brought(cls, moments: Moments, site: Site) -> tuple[Bring, Bring] | None:
        """How the rows of both sides are to be brought before they are summed once more; None: no second look.

        ``solve`` finds the sums of a second look in ``moments.again``.

        Raises:
            FitError, NonFiniteError: as ``solve``.
        """
        return None

    @classmethod
    def looked(cls, moments: Moments, site: Site, again: Callable[[Bring, Bring], Moments]) -> Moments:
        """The moments with what ``again`` sums of brought rows, if the family asks for a second look."""
        ways = cls.brought(moments, site)
        return moments if ways is None else moments.beside(again(*ways))

    @classmethod
    def fewest(cls, **options: Any) -> int:
        """How many rows a map of this family takes at least."""
        return 2

    @classmethod
    def check_site(cls, site: Site, **options: Any) -> None:
        """Refuse a site for which the family has no member; by default there is none such.

        Raises:
            ShapeError: saying what the site would need.
        """

    @classmethod
    def random(cls, site: Site, generator: torch.Generator, **options: Any) -> Self:
        """A random start, by the default initialisation of the family's layers.

        Raises:
            ShapeError: if the family has no random start.
        """
        raise ShapeError(f"The family {cls.family!r} has no random start: use init='closed'.")

    @classmethod
    def invariances(cls, **options: Any) -> tuple[str, ...]:
        """What of ``invariant`` holds under these options."""
        return cls.invariant

    def affine_form(self) -> tuple[Tensor, Tensor] | None:
        """W (q, p) and b (q,) in double precision where the map, at eval, is x -> W x + b at every position.

        Else None.
        """
        return None

    @property
    def parameter_count(self) -> int:
        """The number of free parameters."""
        return sum(p.numel() for p in self.parameters())

    def describe(self) -> dict[str, Any]:
        """Family, parameters, invariance, and how it is solved."""
        return {
            "family": self.family,
            "parameters": self.parameter_count,
            "invariance": self.invariance,
            "solved": self.solved,
        }


def mapped(stitcher: nn.Module, x: Tensor, dtype: torch.dtype) -> Tensor:
    """The stitcher's output in the type that the top expects.

    Networks in another type meet the map in the map's own.
    """
    own = next((t.dtype for t in (*stitcher.parameters(), *stitcher.buffers()) if t.is_floating_point()), x.dtype)
    y: Tensor = stitcher(x if x.dtype == own else x.to(own))
    return y if own == dtype else y.to(dtype)


def apply_linear(x: Tensor, weight: Tensor, bias: Tensor | None, kind: str) -> Tensor:
    """weight (q, p) and bias (q,) at every position.

    A convolution of width 1 where channels come first, else a linear layer.
    """
    if kind == "map":
        return F.conv2d(x, weight[:, :, None, None], bias)
    if kind == "sequence":
        return F.conv1d(x, weight[:, :, None], bias)
    if kind == "volume":
        return F.conv3d(x, weight[:, :, None, None, None], bias)
    return F.linear(x, weight, bias)


def need_equal(site: Site, family: str) -> None:
    """Refuse a site with unequal channels.

    Raises:
        ShapeError: naming both sides.
    """
    if site.p != site.q:
        raise ShapeError(
            f"The family {family!r} needs as many channels below as above: expected {site.q}, found {site.p}; "
            "use 'affine' or 'low-rank'."
        )


def need_moments(moments: Moments) -> None:
    """Refuse moments from which nothing can be solved.

    Raises:
        FitError: if fewer than two rows were seen.
        NonFiniteError: if a sum is NaN or infinite.
    """
    if moments.n < 2:
        raise FitError(f"A closed form needs at least 2 rows of activations, found {moments.n}: give more fit data.")
    for name in ("mean_x", "mean_y", "xx", "yy", "xy"):
        if not bool(torch.isfinite(getattr(moments, name)).all()):
            raise NonFiniteError(
                f"The moments' {name} holds NaN or infinity: expected finite sums; check the activations, or use "
                "float32 instead of half precision."
            )
