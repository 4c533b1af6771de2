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
    """Say where a stitcher stands.

    Attributes:
        p: channels that come in.
        q: channels that go out.
        kind: layout of the activation: "map", "sequence", "grid", "tokens", "vector", "volume" or "lattice".

    Examples:
        >>> ms.stitchers.Site(64, 128, "map").q
        128
    """

    p: int
    q: int
    kind: str


class Stitcher(nn.Module):
    """Map p to q channels, the same way at every position.

    A family overrides ``solve`` (from moments, no data) and ``forward``. Families whose members cannot be
    reached by gradient steps without leaving the family set ``trainable = False``.

    Args:
        site: channels on both sides, and how the activation lies.

    Attributes:
        family: the name, as users write it.
        invariance: in words, which changes of the bottom's channels leave the solved stitch as good as it was.
        invariant: the same as names that ``check`` tests: "shift", "scale" (one for all
            channels, positive), "channel scales" (positive), "permutation", "orthogonal", "linear" (invertible).
        solved: how, in words.
        trainable: whether gradient steps stay inside the family.
        solves: whether ``solve`` reads the moments.
        closed: whether ``solve`` gives the best member; else only a start, from which it is to be fitted.
        option: what the number after the colon of a written family is called.
        option_is: its type.

    Examples:
        >>> family, options = ms.stitchers.family_of("low-rank:2")
        >>> moments = ms.moments.Moments.of(x, y)
        >>> map_ = family.solve(moments, ms.stitchers.Site(4, 3, "vector"), **options)
        >>> map_(torch.as_tensor(x)).shape, map_.parameter_count
        (torch.Size([60, 3]), 17)
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
        """Find the least-squares member of the family.

        Args:
            moments: centred sums over rows (n, p) of the bottom and (n, q) of the top.
            site: channels on both sides, and how the activation lies.
            **options: of the family, as written after the colon.

        Returns:
            The stitcher.

        Raises:
            FitError: if there are fewer than two rows.
            NonFiniteError: if the moments hold NaN or infinity.
            ShapeError: if the family has no member for the site.

        Examples:
            >>> family, _ = ms.stitchers.family_of("affine")
            >>> site = ms.stitchers.Site(4, 3, "vector")
            >>> family.solve(ms.moments.Moments.of(x, y), site).weight.shape
            torch.Size([3, 4])
        """
        raise NotImplementedError  # pragma: no cover - every family has its own

    @classmethod
    def brought(cls, moments: Moments, site: Site) -> tuple[Bring, Bring] | None:
        """Say how the rows of both sides are brought before they are summed once more.

        ``solve`` finds the sums of a second look in ``moments.again``.

        Args:
            moments: centred sums over rows (n, p) of the bottom and (n, q) of the top.
            site: channels on both sides, and how the activation lies.

        Returns:
            One function (n, c) -> (n, d) a side; None where the family needs no second look.

        Raises:
            FitError, NonFiniteError: as ``solve``.

        Examples:
            >>> family, _ = ms.stitchers.family_of("affine")
            >>> site = ms.stitchers.Site(4, 3, "vector")
            >>> family.brought(ms.moments.Moments.of(x, y), site) is None
            True
        """
        return None

    @classmethod
    def looked(cls, moments: Moments, site: Site, again: Callable[[Bring, Bring], Moments]) -> Moments:
        """Give the moments with a second look, if the family asks for one.

        Args:
            moments: centred sums over rows (n, p) of the bottom and (n, q) of the top.
            site: channels on both sides, and how the activation lies.
            again: sums the rows that two functions bring.

        Returns:
            The moments, with what was summed again in ``moments.again``.

        Examples:
            >>> family, _ = ms.stitchers.family_of("affine")
            >>> site = ms.stitchers.Site(4, 3, "vector")
            >>> moments = ms.moments.Moments.of(x, y)
            >>> family.looked(moments, site, lambda below, above: moments) is moments  # it needs no second look
            True
        """
        ways = cls.brought(moments, site)
        return moments if ways is None else moments.beside(again(*ways))

    @classmethod
    def fewest(cls, **options: Any) -> int:
        """Say how many rows a map of this family takes at least.

        Returns:
            The number of rows.

        Examples:
            >>> family, _ = ms.stitchers.family_of("affine")
            >>> site = ms.stitchers.Site(4, 3, "vector")
            >>> family.fewest()
            2
        """
        return 2

    @classmethod
    def check_site(cls, site: Site, **options: Any) -> None:
        """Refuse a site for which the family has no member; by default there is none such.

        Args:
            site: channels on both sides, and how the activation lies.
            **options: of the family.

        Raises:
            ShapeError: saying what the site would need.

        Examples:
            >>> family, _ = ms.stitchers.family_of("affine")
            >>> site = ms.stitchers.Site(4, 3, "vector")
            >>> family.check_site(site)  # orthogonal maps would ask for more
        """

    @classmethod
    def random(cls, site: Site, generator: torch.Generator, **options: Any) -> Self:
        """Draw a random start, by the default initialisation of the family's layers.

        Args:
            site: channels on both sides, and how the activation lies.
            generator: that it is drawn from.
            **options: of the family.

        Returns:
            The stitcher.

        Raises:
            ShapeError: if the family has no random start.

        Examples:
            >>> family, _ = ms.stitchers.family_of("affine")
            >>> site = ms.stitchers.Site(4, 3, "vector")
            >>> family.random(site, torch.Generator().manual_seed(0)).bias.shape
            torch.Size([3])
        """
        raise ShapeError(f"The family {cls.family!r} has no random start: use init='closed'.")

    @classmethod
    def invariances(cls, **options: Any) -> tuple[str, ...]:
        """Say what of ``invariant`` holds under these options.

        Returns:
            The names that hold.

        Examples:
            >>> family, _ = ms.stitchers.family_of("affine")
            >>> site = ms.stitchers.Site(4, 3, "vector")
            >>> family.invariances()
            ('linear', 'shift')
        """
        return cls.invariant

    def affine_form(self) -> tuple[Tensor, Tensor] | None:
        """Give the affine map of the channels that this map is at eval, where it is one.

        Returns:
            W (q, p) and b (q,) of x -> W x + b at every position, in double precision; None where it is no such map.

        Examples:
            >>> family, _ = ms.stitchers.family_of("affine")
            >>> site = ms.stitchers.Site(4, 3, "vector")
            >>> [part.shape for part in family(site).affine_form()]
            [torch.Size([3, 4]), torch.Size([3])]
        """
        return None

    @property
    def parameter_count(self) -> int:
        """The number of free parameters."""
        return sum(p.numel() for p in self.parameters())

    def describe(self) -> dict[str, Any]:
        """Say the family, its parameters, its invariance, and how it is solved.

        Returns:
            Plain values by name.

        Examples:
            >>> family, _ = ms.stitchers.family_of("affine")
            >>> site = ms.stitchers.Site(4, 3, "vector")
            >>> family(site).describe()["parameters"]
            15
        """
        return {
            "family": self.family,
            "parameters": self.parameter_count,
            "invariance": self.invariance,
            "solved": self.solved,
        }


def mapped(stitcher: nn.Module, x: Tensor, dtype: torch.dtype) -> Tensor:
    """Give the output of a stitcher in the type that the top expects.

    Networks in another type meet the map in the map's own.

    Args:
        stitcher: the map.
        x: an activation (b, ...).
        dtype: of the top.

    Returns:
        The activation for the top.

    Examples:
        >>> map_ = ms.stitchers.Affine(ms.stitchers.Site(4, 3, "vector"))
        >>> ms.stitchers.mapped(map_, torch.ones(2, 4), torch.float64).dtype
        torch.float64
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
