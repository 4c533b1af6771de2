"""How near stitched activations come to genuine ones on held-out samples.

Where a map is affine, as most are, all of it follows from sums of the two networks' own activations: what a stitch
adds is a product of small matrices, however many stitches share a layer. Other maps are held against the top's
activations one by one.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..data.batch import Batch
from ..errors import MeasureError, NonFiniteError
from ..moments.moments import Moments, Sums
from ..moments.spread import SpreadGrid
from ..network import Layer, Network, positions_of
from ..network.nonfinite import refuse
from ..stitchers import Adapter, Stitcher, adapter_between, channels_last, masked_mean, masks, rows
from ..support.fast.products import root, spectrum
from .fit.closed import SeamStreams, grouped
from .senders import Sender
from .sweep import Stream

ByOwner = Mapping[Hashable, Mapping[str, Tensor]]  # {who: {layer: activation}} of one batch
_ROUNDING = 64 * torch.finfo(torch.float64).eps  # below this share, a difference of sums is rounding alone
_ABREAST = 8  # forms in a product, always as many: its last bit must not depend on how many stitches share a layer
_APART = 1024  # columns from which forms are too large to lie side by side: each is a product of its own
_CACHED = 1_000_000  # bytes of rows that are squared at once
_SQUARES = 16_000_000  # bytes of their squares


@dataclass(frozen=True)
class Truth:
    """How near stitched activations are to genuine ones on held-out samples, by position.

    Attributes:
        relative_mse: |s - y|^2 / |y - mean y|^2; 0 is equal, 1 is as bad as the mean. None, as the others, where the
            genuine activations do not vary (one test example of a vector).
        cka: linear CKA of stitched and genuine activations over positions, 0 to 1.
        ood: median Mahalanobis distance of stitched samples under the genuine fit moments, over that of genuine ones.
        ood_share: percent of stitched samples beyond the genuine 99th percentile: rarer than genuine ones.
        collapsed_share: percent of them nearer to the mean than the genuine 1st percentile.
    """

    relative_mse: float | None
    cka: float | None
    ood: float | None
    ood_share: float | None
    collapsed_share: float | None


@dataclass(frozen=True)
class Ends:
    """A stream, and who gives the activations below and above it.

    Attributes:
        below, above: their names among the values of a batch.
        sender, top: whose layers they are.
    """

    stream: Stream
    below: Hashable
    above: Hashable
    sender: Sender
    top: Network


class Truths:
    """The truth of many streams, between any networks, from one read of a split.

    Args:
        streams: with moments; those that have failed left out.
    """

    def __init__(self, streams: Sequence[Ends]) -> None:
        self._near: dict[int, _Near | _Summed] = {}
        self._layers = _Together()
        self._distances: dict[Hashable, _Distances] = {}
        self._seams: SeamStreams = {}
        self._genuine: dict[Hashable, _Genuine] = {}
        usual: dict[Hashable, _Usual] = {}
        for ends in streams:
            stream, form = ends.stream, _affine(ends.stream)
            key = (ends.above, stream.top_layer, _moments(stream).yy.data_ptr())
            if form is None:
                if key not in self._genuine:
                    self._genuine[key] = _Genuine(stream)
                self._near[id(stream)] = _Near(self._genuine[key])
                continue
            above = self._layers.name(ends.above, stream.top_layer, ends.top)
            if key not in usual:
                usual[key] = self._usual(above, stream)
            below = self._layers.name(ends.below, stream.bottom_layer, ends.sender)
            self._near[id(stream)] = self._summed(stream, form, (below, above), usual[key])
        self._blocks = grouped(self._seams, self._layers, one_set=True) if self._seams else []
        for block in self._blocks:
            device = _moments(self._seams[block.keys[0]][0]).yy.device
            block.group.reserve(self._layers, self._layers, whole=True, dtype=torch.float64, device=device)

    def _usual(self, above: str, stream: Stream) -> _Usual:
        """How rare the top's own activations are at a layer."""
        moments, layer = _moments(stream), self._layers.layer(above)
        mean, whitener = moments.mean_y.double(), _whitener(moments)
        distances = self._distances_of(above, adapter_between(layer, layer), mean)
        return _Usual(mean, whitener, distances, distances.add_form(whitener.T, -(whitener.T @ mean)))

    def _summed(self, stream: Stream, form: tuple[Tensor, Tensor], seam: tuple[str, str], usual: _Usual) -> _Summed:
        """A stream with an affine map at a seam."""
        self._seams.setdefault((seam, None), []).append(stream)
        weight, bias = form
        distances = self._distances_of(seam[0], stream.adapter, _moments(stream).mean_x.double())
        number = distances.add_form(usual.whitener.T @ weight, usual.whitener.T @ (bias - usual.mean))
        return _Summed(seam, stream, distances, number, usual)

    def _distances_of(self, layer: str, adapter: Adapter, base: Tensor) -> _Distances:
        """The distances of one layer's activations at the positions that an adapter brings them to."""
        kind, shape, *lie = adapter.target
        key = (layer, kind, positions_of(kind, shape), *lie)
        if key not in self._distances:
            self._distances[key] = _Distances(layer, adapter, kind, base)
        return self._distances[key]

    def add(self, values: ByOwner, batch: Batch) -> dict[int, str]:
        """Count a batch of activations.

        Returns:
            The ids of streams over activations that hold NaN or infinity, and why they are lost.
        """
        found, bad = self._layers.read(values, batch)
        for block in self._blocks:
            below, above = ({name: found[name] for name in names} for names in (block.group.adapters, block.group.tops))
            y = next(iter(above.values()))
            marked = batch.mask is not None and masks(batch.mask, y, block.group.kind)
            kept = batch.mask.flatten().nonzero()[:, 0] if marked and batch.mask is not None else None
            block.group.add(below, above, batch.mask, kept)
        for distances in self._distances.values():
            distances.add(found[distances.layer], batch.mask)
        why = {seam: next((bad[name] for name in seam[0] if name in bad), "") for seam in self._seams}
        return {id(s): why[seam] for seam, same in self._seams.items() if why[seam] for s in same}

    def stitch(self, stream: Stream, stitched: Tensor, genuine: Tensor, mask: Tensor | None) -> None:
        """Count a batch of a stream's activations in the top, beside the top's own."""
        near = self._near[id(stream)]
        if isinstance(near, _Near):
            near.add(stitched, genuine, mask)

    def state(self) -> list[Any]:
        """What was counted so far."""
        return [part.state() for part in self._counting()]

    def take_up(self, state: Sequence[Any]) -> None:
        """Go on from what ``state`` gave, of the same streams in the same order."""
        for part, held in zip(self._counting(), state, strict=True):
            part.take_up(held)

    def _counting(self) -> list[SpreadGrid | _Distances | _Genuine | _Near]:
        """All that grows with each batch."""
        return [
            *(grid for block in self._blocks for grid in block.group.grids),
            *self._distances.values(),
            *self._genuine.values(),
            *(near for near in self._near.values() if isinstance(near, _Near)),
        ]

    def of(self, stream: Stream) -> Truth:
        """What was found of a stream."""
        near = self._near[id(stream)]
        if isinstance(near, _Near):
            return near.truth()
        return near.truth(next(b.group.pair(*near.seam) for b in self._blocks if (near.seam, None) in b.keys))


class TruthOfOne:
    """The truth of one stream, given batch by batch: of its stitch as it is, or of a copy that was trained further.

    Args:
        stream: with moments, which say what is rare.
    """

    def __init__(self, stream: Stream) -> None:
        self._near = _Near(_Genuine(stream))

    def add(self, stitched: Tensor, genuine: Tensor, mask: Tensor | None) -> None:
        """Count a batch of activations that the top takes, beside those of the top as it was given."""
        self._near.add(stitched, genuine, mask)

    def of(self) -> Truth:
        """What was found."""
        return self._near.truth()


def _affine(stream: Stream) -> tuple[Tensor, Tensor] | None:
    """W (q, p) and b (q,) of a stream whose map is affine, computed in full precision; else None."""
    full = stream.dtype in (torch.float32, torch.float64)
    return stream.stitcher.affine_form() if full and isinstance(stream.stitcher, Stitcher) else None


class _Together:
    """Layers of several networks as those of one."""

    def __init__(self) -> None:
        self._layers: dict[str, Layer] = {}
        self._at: dict[str, tuple[Hashable, str, str]] = {}
        self._numbers: dict[Hashable, int] = {}

    def name(self, who: Hashable, layer: str, of: Sender | Network) -> str:
        """What a layer is called here."""
        name = f"{self._numbers.setdefault(who, len(self._numbers))}@{layer}"
        if name not in self._at:
            self._layers[name], self._at[name] = of.layer(layer), (who, layer, of.name)
        return name

    def layer(self, name: str) -> Layer:
        """The layer that is called so."""
        return self._layers[name]

    def read(self, values: ByOwner, batch: Batch) -> tuple[dict[str, Tensor], dict[str, str]]:
        """{layer: activation}, zeros where it is not finite; and for these layers, what is wrong."""
        found, bad = {}, {}
        for name, (who, layer, network) in self._at.items():
            value = found[name] = values[who][layer]
            if not bool(torch.isfinite(value.sum())):  # or the sum alone is too large
                try:
                    refuse(network, {layer: value}, batch.ids)
                except NonFiniteError as error:
                    bad[name], found[name] = str(error), torch.zeros_like(value)
        return found, bad


_Squared = tuple[Tensor, Tensor, Tensor]  # a form's square (p p,), its slope (p,), its level


class _Distances:
    """Root mean squared distances of samples' positions under quadratic forms of one activation.

    The second moments of each sample serve all forms.

    Args:
        layer: whose activation it is.
        adapter: what it goes through first.
        kind: of what comes out.
        base: near its mean, (p,): taken off first, so that little is lost where the mean is large.
    """

    def __init__(self, layer: str, adapter: Adapter, kind: str, base: Tensor) -> None:
        self.layer, self._adapter, self._kind, self._base = layer, adapter, kind, base
        target = adapter.target
        self._places = max(1, math.prod(positions_of(target.kind, target.shape)))
        self._abreast = 1 if len(base) >= _APART else _ABREAST
        self._squared: list[_Squared] = []
        self._plain: list[tuple[Tensor, Tensor]] = []  # (factor, offset) of forms that are applied as they are
        self._order: list[tuple[bool, int]] = []
        self._found: list[Tensor] = []
        self._forms: list[tuple[Tensor, ...]] | None = None

    def add_form(self, factor: Tensor, offset: Tensor) -> int:
        """Ask for the distances |factor x + offset|, factor (k, p); returns their number.

        A form of few rows is applied to each position, which takes less than its square on the moments of all.
        """
        offset = offset + factor @ self._base
        plain = len(self._base) >= _APART and len(factor) * self._places <= len(self._base)
        self._order.append((plain, len(self._plain if plain else self._squared)))
        if plain:
            self._plain.append((factor.T.contiguous(), offset))
        else:
            self._squared.append(
                ((factor.T @ factor).flatten(), 2 * (factor.T @ offset), offset @ offset),
            )
        return len(self._order) - 1

    def add(self, activation: Tensor, mask: Tensor | None) -> None:
        """Count a batch."""
        if self._forms is None:
            self._forms = self._abreast_of(self._squared)
            self._squared = []
        x = self._adapter(activation, mask)
        shares = None
        if mask is not None and masks(mask, x, self._kind):
            marks = mask.to(x.device, torch.float64)
            shares = marks / marks.sum(1, keepdim=True).clamp(min=1)
        last, p = channels_last(x, self._kind), len(self._base)
        sample = 8 * max(1, last[0].numel())
        step = max(1, min(_CACHED // sample, _SQUARES // (8 * p * p)))
        for start in range(0, len(last), step):
            some = slice(start, start + step)
            part = last[some].reshape(len(last[some]), -1, p).to(self._base, copy=True)
            self._found.append(self._of(part.sub_(self._base), None if shares is None else shares[some]))

    def _abreast_of(self, forms: list[_Squared]) -> list[tuple[Tensor, ...]]:
        """The forms side by side, as many as are multiplied at once; those that are lacking are zero."""
        if self._abreast == 1:
            return [tuple(part[..., None] for part in form) for form in forms]
        if not forms:
            return []
        empty = tuple(torch.zeros_like(part) for part in forms[0])
        forms = forms + [empty] * (-len(forms) % self._abreast)  # type: ignore[list-item]
        sides = (torch.split(torch.stack(parts, -1), self._abreast, -1) for parts in zip(*forms))
        return [tuple(part.contiguous() for part in some) for some in zip(*sides)]

    def _of(self, x: Tensor, shares: Tensor | None) -> Tensor:
        """(n, forms) of positions x (n, positions, p), each of which counts its share."""
        assert self._forms is not None
        squared, plain = x.new_zeros(len(x), 0), [self._seen(x, shares, *form) for form in self._plain]
        if self._forms:
            weighed = x / x.shape[1] if shares is None else x * shares[..., None]
            second, first = torch.matmul(x.transpose(1, 2), weighed).flatten(1), weighed.sum(1)
            found = [torch.addmm(level + first @ slopes, second, squares) for squares, slopes, level in self._forms]
            squared = torch.cat(found, 1)
        columns = [plain[at] if is_plain else squared[:, at] for is_plain, at in self._order]
        return torch.stack(columns, 1).clamp_(min=0).sqrt_()

    @staticmethod
    def _seen(x: Tensor, shares: Tensor | None, factor: Tensor, offset: Tensor) -> Tensor:
        """The mean square of one form over the positions, (n,)."""
        squares = (x.flatten(0, 1) @ factor).add_(offset).square_().sum(1).view(x.shape[:2])
        return squares.mean(1) if shares is None else (squares * shares).sum(1)

    def state(self) -> list[Tensor]:
        """What was counted so far."""
        return _whole(self._found)

    def take_up(self, state: Sequence[Tensor]) -> None:
        """Go on from what ``state`` gave."""
        self._found = [found.to(self._base.device) for found in state]

    def of(self, number: int) -> Tensor:
        """All distances of one form, (n,)."""
        return torch.cat([found[:, number] for found in self._found])


@dataclass
class _Usual:
    """How rare the top's own activations are: what streams that end there share."""

    mean: Tensor
    whitener: Tensor
    distances: _Distances
    number: int


@dataclass
class _Summed:
    """A stream with an affine map."""

    seam: tuple[str, str]
    stream: Stream  # whose map is taken in double precision when it is needed: all at once would be as large again
    distances: _Distances
    number: int
    usual: _Usual

    def truth(self, sums: Moments) -> Truth:
        """From the sums of the two layers over the split."""
        form = _affine(self.stream)
        assert form is not None
        weight, bias = form
        cross = weight @ sums.xy
        own = _turned(sums, weight)
        spread = float(sums.yy.diagonal().sum())
        shift = weight @ sums.mean_x + bias - sums.mean_y
        both = float(own.diagonal().sum()) + spread
        squares = both - 2 * float(cross.diagonal().sum()) + float(sums.n * shift.square().sum())
        usual = self.usual
        return _truth(
            squares if squares > _ROUNDING * both else 0.0,
            spread,
            float(cross.square().sum()),
            float(own.norm() * sums.yy.norm()),
            self.distances.of(self.number),
            usual.distances.of(usual.number),
        )


class _Genuine:
    """The top's own activations at a layer over the test split: what streams that end there share."""

    def __init__(self, stream: Stream) -> None:
        moments = _moments(stream)
        self.kind = stream.site.kind
        self.mean, self.whitener = moments.mean_y.double(), _whitener(moments)
        self.offset = -(self.mean @ self.whitener)
        self.sums = Sums(stream.site.q, self.mean.device)
        self.distances: list[Tensor] = []
        self._seen: Tensor | None = None
        self.rows: Tensor

    def see(self, genuine: Tensor, mask: Tensor | None) -> None:
        """Take a batch once, whoever comes first with it."""
        if genuine is self._seen:
            return
        self._seen, whole = genuine, genuine.to(self.mean)  # float64, once for all sums
        self.rows = rows(whole, self.kind, mask)
        self.sums.add(self.rows)
        self.distances.append(self.distance(whole, mask))

    def distance(self, activation: Tensor, mask: Tensor | None) -> Tensor:
        """Root mean squared Mahalanobis distance of each sample's positions, (n,)."""
        z = torch.addmm(self.offset, rows(activation, self.kind), self.whitener)
        squares = z.square_().sum(1).view(len(activation), -1)
        if mask is None or not masks(mask, activation, self.kind):
            return squares.mean(1).sqrt()
        return masked_mean(squares[..., None], mask)[:, 0].sqrt()

    def state(self) -> dict[str, Any]:
        """What was counted so far."""
        return {"sums": self.sums.state(), "distances": _whole(self.distances)}

    def take_up(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self.sums.take_up(state["sums"])
        self.distances = [found.to(self.mean.device) for found in state["distances"]]


class _Near:
    """Sums over the test split for one stream, beside those of the top's own activations."""

    def __init__(self, genuine: _Genuine) -> None:
        self.genuine, self.squares = genuine, 0.0
        self.sums = Sums(len(genuine.mean), genuine.mean.device, beside=genuine.sums)
        self.distances: list[Tensor] = []

    def add(self, stitched: Tensor, genuine: Tensor, mask: Tensor | None) -> None:
        self.genuine.see(genuine, mask)
        stitched = stitched.to(self.genuine.mean)
        x = rows(stitched, self.genuine.kind, mask)
        self.sums.add(x)
        self.squares += float((x - self.genuine.rows).square_().sum())
        self.distances.append(self.genuine.distance(stitched, mask))

    def state(self) -> dict[str, Any]:
        """What was counted so far, but for what streams share."""
        return {"sums": self.sums.state(), "squares": self.squares, "distances": _whole(self.distances)}

    def take_up(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self.sums.take_up(state["sums"])
        self.squares = state["squares"]
        self.distances = [found.to(self.genuine.mean.device) for found in state["distances"]]

    def truth(self) -> Truth:
        yy = self.genuine.sums.own
        return _truth(
            self.squares,
            float(yy.diagonal().sum()),
            float(self.sums.cross.square().sum()),
            float(self.sums.own.norm() * yy.norm()),
            torch.cat(self.distances),
            torch.cat(self.genuine.distances),
        )


def _whole(parts: Sequence[Tensor]) -> list[Tensor]:
    """The same rows in one tensor; none where there are none."""
    return [torch.cat(list(parts))] if parts else []


def _truth(squares: float, spread: float, common: float, norms: float, stitched: Tensor, genuine: Tensor) -> Truth:
    """From the squared error beside the spread, CKA's two parts, and the distances of both."""
    usual = float(genuine.median())
    return Truth(
        relative_mse=squares / spread if spread > 0 else None,
        cka=common / norms if norms > 0 else None,
        ood=float(stitched.median()) / usual if usual > 0 else None,
        ood_share=_percent(stitched > genuine.quantile(0.99)) if usual > 0 else None,
        collapsed_share=_percent(stitched < genuine.quantile(0.01)) if usual > 0 else None,
    )


def _percent(which: Tensor) -> float:
    return 100.0 * float(which.double().mean())


def _moments(stream: Stream) -> Moments:
    if stream.moments is None:
        raise MeasureError(f"The seam {stream.bottom_layer} -> {stream.top_layer} has no moments.")
    return stream.moments


def _turned(sums: Moments, weight: Tensor) -> Tensor:
    """W X'X W', of few rows as it is seen from them: its trace and its norm are the same, and it is small."""
    known = sums.known[0]
    if "root" not in known:
        known["root"] = root(sums.xx, sums.n)
    half = known["root"]
    if half is None:
        return weight @ sums.xx @ weight.T
    seen: Tensor = weight @ half
    return seen.T @ seen


def _whitener(moments: Moments) -> Tensor:
    """Columns that turn centred top activations into unit variance; directions without variance are left out."""
    values, vectors = spectrum(moments.yy.double() / max(moments.n, 1), moments.n)
    kept = values > 1e-6 * values.clamp(min=0).sum() / len(moments.yy)
    whitener: Tensor = vectors[:, kept] / values[kept].sqrt()
    return whitener
