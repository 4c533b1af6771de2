"""The sums of one pass: all that a closed form needs to know of two sets of activations.

Rows are positions (pixels of a map, tokens of a sequence, or examples), columns are channels.
Sums are kept centred and merged with the pairwise update of Chan, Golub and LeVeque (1983), so that
a large offset never meets a large product.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ..errors import MeasureError, NonFiniteError
from ..support import tensors
from ..support.fast.products import add_inner, inner
from ..support.ranks import Ranks

Known: TypeAlias = dict[str, Any]  # what was worked out from the sums of one side alone, by name
_SUMS, _KIND = ("mean_x", "mean_y", "xx", "yy", "xy"), "moments of one pair"


@dataclass
class Moments:
    """Hold the centred second moments of paired rows x (n, p) and y (n, q).

    Batches merge by the pairwise update of Chan, Golub and LeVeque (1983): ``a + b``, or ``update``.

    Attributes:
        n: the number of rows seen, or the sum of their weights.
        mean_x: the means of x, (p,).
        mean_y: the means of y, (q,).
        xx: sums of centred products of x, (p, p).
        yy: sums of centred products of y, (q, q); (0, 0) where they were not asked for.
        xy: sums of centred products of both, (p, q).
        known: for x and for y, what was worked out from that side alone; moments that share a side share it.
        joint: what was worked out from both.
        again: of the same rows, brought another way, where a family of maps asks for a second look at them.

    Examples:
        >>> x, y = torch.randn(50, 3), torch.randn(50, 2)
        >>> of = ms.moments.Moments.of
        >>> whole, parts = of(x, y), of(x[:20], y[:20]) + of(x[20:], y[20:])
        >>> torch.allclose(whole.xy, parts.xy)
        True
    """

    n: float
    mean_x: Tensor
    mean_y: Tensor
    xx: Tensor
    yy: Tensor
    xy: Tensor
    known: tuple[Known, Known] = field(default_factory=lambda: ({}, {}), init=False, repr=False, compare=False)
    joint: Known = field(default_factory=dict, init=False, repr=False, compare=False)
    again: Moments | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def empty(
        cls,
        p: int,
        q: int,
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        both: bool = True,
    ) -> Moments:
        """Make the moments of no rows.

        Args:
            p: columns of x.
            q: columns of y.
            dtype: of the sums.
            device: where they lie.
            both: keep ``yy``, too, which maps from x to y do not need.

        Returns:
            Moments with n = 0, to be updated.

        Examples:
            >>> ms.moments.Moments.empty(4, 3).n
            0
        """

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        return cls(0, zeros(p), zeros(q), zeros(p, p), zeros(q, q) if both else zeros(0, 0), zeros(p, q))

    @classmethod
    def of(
        cls,
        x: Tensor,
        y: Tensor,
        *,
        dtype: torch.dtype = torch.float64,
        where: str = "",
        weights: Tensor | None = None,
        both: bool = True,
    ) -> Moments:
        """Take the moments of one batch of rows.

        Args:
            x: (n, p).
            y: (n, q).
            dtype: of the sums.
            where: the layer, for the message of an error.
            weights: (n,), of each row: 0 or more, and not all 0.
            both: keep ``yy``, too.

        Returns:
            Moments of these rows.

        Raises:
            MeasureError: if they are no matrices of as many rows.
            NonFiniteError: if a row holds NaN or infinity.

        Examples:
            >>> moments = ms.moments.Moments.of(x, y)
            >>> torch.allclose(moments.mean_x, x.double().mean(0))
            True
        """
        if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
            raise MeasureError(
                f"Moments need two matrices with the same number of rows, found {tuple(x.shape)} and {tuple(y.shape)}."
            )
        x, y = x.to(dtype), y.to(dtype)
        n: float = len(x)
        w = None if weights is None else weights.to(dtype)
        # in double precision: the square of what a mean is off by stands in the sums
        mean_x, mean_y = (
            (part.mean(0, dtype=torch.float64) if w is None else w.double() @ part.double() / w.double().sum()).to(
                dtype
            )
            for part in (x, y)
        )
        _refuse_nonfinite(mean_x, mean_y, where)
        x, y = x - mean_x, y - mean_y
        if w is not None:
            x, y = (part.mul_(w.sqrt()[:, None]) for part in (x, y))
            n = float(w.sum())
        return cls(n, mean_x, mean_y, inner(x), inner(y) if both else x.new_zeros(0, 0), inner(x, y))

    def update(
        self,
        x: Tensor,
        y: Tensor,
        *,
        where: str = "",
        weights: Tensor | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Add a batch of rows in place.

        Args:
            x: (n, p).
            y: (n, q).
            where: the layer, for the message of an error.
            weights: (n,), of each row.
            dtype: of the products of this batch, by default that of the sums. In float32 they take half the time.

        Raises:
            MeasureError, NonFiniteError: as ``of``.

        Examples:
            >>> moments = ms.moments.Moments.of(x, y)
            >>> moments.update(x, y)
            >>> moments.n
            120
        """
        both = bool(self.yy.numel())
        part = Moments.of(x, y, dtype=dtype or self.xx.dtype, where=where, weights=weights, both=both)
        before, self.n = self.n, self.n + part.n
        if self.n == 0:
            return
        dx, dy = part.mean_x - self.mean_x, part.mean_y - self.mean_y
        scale = before * part.n / self.n
        self.mean_x = self.mean_x + dx * (part.n / self.n)
        self.mean_y = self.mean_y + dy * (part.n / self.n)
        self.xx.add_(part.xx).addr_(dx, dx, alpha=scale)
        self.xy.add_(part.xy).addr_(dx, dy, alpha=scale)
        if both:
            self.yy.add_(part.yy).addr_(dy, dy, alpha=scale)
        self.known, self.joint = ({}, {}), {}

    def turned(self) -> Moments:
        """Give the same with the sides exchanged.

        Returns:
            Moments that share these sums.

        Examples:
            >>> moments = ms.moments.Moments.of(x, y)
            >>> moments.turned().xy.shape
            torch.Size([3, 4])
        """
        sides = self.mean_y, self.mean_x, self.yy, self.xx, self.xy.T
        return Moments(self.n, *sides).sharing(*self.known[::-1])

    def sharing(self, x: Known, y: Known) -> Moments:
        """Take over what others of the same sides have worked out of them.

        Args:
            x: what is known of the one side.
            y: of the other one.

        Returns:
            These moments.

        Examples:
            >>> moments = ms.moments.Moments.of(x, y)
            >>> moments.sharing({}, {}) is moments
            True
        """
        self.known = (x, y)
        return self

    def beside(self, again: Moments) -> Moments:
        """Give the same sums with those of a second look at the rows.

        Args:
            again: of the same rows, brought another way.

        Returns:
            Moments that share these sums.

        Examples:
            >>> moments = ms.moments.Moments.of(x, y)
            >>> moments.beside(moments).again is moments
            True
        """
        found = copy.copy(self)
        found.again = again
        return found

    def __add__(self, other: Moments) -> Moments:
        n = self.n + other.n
        if n == 0:
            return self
        weight, dx, dy = other.n / n, other.mean_x - self.mean_x, other.mean_y - self.mean_y
        scale = self.n * weight
        return Moments(
            n,
            self.mean_x + weight * dx,
            self.mean_y + weight * dy,
            self.xx + other.xx + scale * torch.outer(dx, dx),
            self.yy + other.yy + scale * torch.outer(dy, dy) if self.yy.numel() else self.yy,
            self.xy + other.xy + scale * torch.outer(dx, dy),
        )

    def over(self, ranks: Ranks) -> Moments:
        """Give the moments of the rows of all processes, each of which gives its own.

        Args:
            ranks: the processes.

        Returns:
            The moments, equal on all.

        Examples:
            >>> group = torch.distributed  # here of one process
            >>> group.init_process_group("gloo", store=group.HashStore(), rank=0, world_size=1)
            >>> with ms.across_ranks() as ranks:
            ...     ms.moments.Moments.of(x, y).over(ranks).n
            60
            >>> group.destroy_process_group()
        """
        n = ranks.count(int(self.n))
        if n == 0:
            return self
        mean_x, mean_y = self.mean_x * (self.n / n), self.mean_y * (self.n / n)
        ranks.add(mean_x, mean_y)
        dx, dy = self.mean_x - mean_x, self.mean_y - mean_y
        xx, yy, xy = (
            sums + self.n * torch.outer(a, b)
            for sums, a, b in ((self.xx, dx, dx), (self.yy, dy, dy), (self.xy, dx, dy))
        )
        ranks.add(xx, yy, xy)
        return Moments(n, mean_x, mean_y, xx, yy, xy)

    def save(self, path: str | Path) -> None:
        """Write the sums as safetensors with a digest, whole or not at all.

        Args:
            path: the file.

        Raises:
            StudyError: the disk is full, or the folder cannot be written to.

        Examples:
            >>> moments = ms.moments.Moments.of(x, y)
            >>> moments.save("sums.safetensors")
            >>> ms.moments.Moments.load("sums.safetensors").n
            60
        """
        tensors.save(Path(path), {k: getattr(self, k) for k in _SUMS}, {"of": _KIND, "n": str(self.n)})

    @classmethod
    def load(cls, path: str | Path) -> Moments:
        """Read sums written by ``save``.

        Args:
            path: the file.

        Returns:
            The moments.

        Raises:
            MeasureError: the file is missing, holds something else, or changed since it was written.

        Examples:
            >>> moments = ms.moments.Moments.of(x, y)
            >>> moments.save("sums.safetensors")
            >>> torch.equal(ms.moments.Moments.load("sums.safetensors").xy, moments.xy)
            True
        """
        try:
            sums, texts = tensors.load(Path(path))
            if texts.get("of") != _KIND or set(sums) != set(_SUMS):
                raise ValueError(f"it holds {texts.get('of') or 'something else'}")
            mean_x, mean_y, xx, yy, xy = (sums[name] for name in _SUMS)
            n = float(texts["n"]) if "." in texts["n"] else int(texts["n"])
            return cls(n, mean_x, mean_y, xx, yy, xy)
        except (OSError, ValueError, KeyError) as error:
            raise MeasureError(
                f"{path} holds no moments ({error}): expected a file that save wrote; make them anew."
            ) from error


class Sums:
    """Centred second moments of rows x (n, p), float64, batch by batch (Chan, Golub and LeVeque 1983).

    Args:
        width: p.
        beside: the same of rows y (n, q) that take each batch just before: the cross products are summed too.

    Attributes:
        own: the sums of x'x, shape (p, p).
        cross: the sums of x'y, shape (p, q); only with ``beside``.
    """

    def __init__(self, width: int, device: torch.device, *, beside: Sums | None = None) -> None:
        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        self.n, self.mean, self.own, self._beside = 0, zeros(width), zeros(width, width), beside
        self.cross = zeros(width, len(beside.mean)) if beside is not None else zeros(0)
        self.step = self.mean  # from the mean before a batch to that of the batch
        self.centred: Tensor  # the rows of the latest batch, less their mean

    def add(self, x: Tensor) -> None:
        """Count a batch of rows."""
        mean = x.mean(0)
        self.centred, self.step = x - mean, mean - self.mean
        before, self.n = self.n, self.n + len(x)
        scale = before * len(x) / self.n
        add_inner(self.own, self.centred)
        self.own.addr_(self.step, self.step, alpha=scale)
        if self._beside is not None:
            add_inner(self.cross, self.centred, self._beside.centred)
            self.cross.addr_(self.step, self._beside.step, alpha=scale)
        self.mean = self.mean + self.step * (len(x) / self.n)

    def state(self) -> dict[str, Any]:
        """What was counted so far."""
        return {"n": self.n, "mean": self.mean, "own": self.own, "cross": self.cross}

    def take_up(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self.n = state["n"]
        self.mean, self.own, self.cross = (state[name].to(self.own) for name in ("mean", "own", "cross"))


def _refuse_nonfinite(mean_x: Tensor, mean_y: Tensor, where: str) -> None:
    """Refuse NaN and infinity, which a mean shows whichever row holds them."""
    for side, mean in (("bottom", mean_x), ("top", mean_y)):
        if not bool(torch.isfinite(mean).all()):
            raise NonFiniteError(
                f"The {side} activations{f' at {where}' if where else ''} hold NaN or infinity: expected finite "
                "numbers; check the network's weights, its input range, or use float32 instead of half precision."
            )
