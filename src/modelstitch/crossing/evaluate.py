"""Many stitches into one top, measured together: streams that are inside the top run the rest of it as one batch."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ..data.data import Batch, Data
from ..engine.measure import Outcome, Tally
from ..engine.senders import view_of
from ..errors import NonFiniteError
from ..measures.checks import CONSTANT
from ..network import OUTPUT, Network
from ..stitchers import Adapter, Stitcher, mapped, rows
from ..support.nonfinite import first_bad
from ..support.progress import Tell


@dataclass(frozen=True)
class Judged:
    """One stitch on the test split.

    Attributes:
        outcome: example by example.
        relative_mse: squared distance of stitched from genuine activations over that of genuine ones from their mean; None
            where the genuine ones do not vary.
    """

    outcome: Outcome
    relative_mse: float | None


@dataclass(frozen=True)
class _Entrance:
    key: Hashable
    bottom_layer: str
    adapter: Adapter
    stitcher: Stitcher


class Joint:
    """All streams into one top.

    The top is run from each entered layer to the next; there the streams that enter are put behind those already inside,
    along the batch dimension. Nothing in a frozen top mixes examples, so that each stream's output is what its own top would
    have given; a top that does, with statistics of the batch, is run stream by stream.
    """

    def __init__(self, bottom: Network, top: Network, device: torch.device, rows_at_once: int) -> None:
        self.bottom, self.top, self.device, self.rows_at_once = bottom, top, device, max(1, rows_at_once)
        self.stitchers: dict[Any, Stitcher] = {}
        self._at: dict[str, list[_Entrance]] = {}

    def enter(self, key: Hashable, bottom_layer: str, top_layer: str, adapter: Adapter, stitcher: Stitcher) -> None:
        """Add a stream; ``key`` is what the caller knows it by."""
        self.stitchers[key] = stitcher
        self._at.setdefault(top_layer, []).append(_Entrance(key, bottom_layer, adapter, stitcher))

    def run(self, data: Data, batch_size: int, tell: Tell | None = None) -> tuple[dict[Any, Judged], Outcome, Outcome]:
        """Read the test split once: {key: what the stitch did}, and the outcomes of top and bottom themselves.

        Raises:
            NonFiniteError: the output of a stitch holds NaN or infinity; the seam is named.
        """
        stops = sorted(self._at, key=self.top.cuts.index)
        entrances = [entrance for stop in stops for entrance in self._at[stop]]
        pieces: list[Any] = [self.top.segment(a, b) for a, b in pairwise(stops)] + [self.top.top(stops[-1])]
        pieces = [piece.to(self.device) for piece in pieces]
        senders = list(dict.fromkeys(entrance.bottom_layer for entrance in entrances))
        send = self.bottom.taps(senders, output=True).to(self.device)
        receive = self.top.taps(stops, output=True).to(self.device)
        size = max(1, min(batch_size, self.rows_at_once // len(entrances)))
        if self.top.mixes(view_of(self.top, next(data.batches("test", 8)), self.device)):
            size, self.rows_at_once = batch_size, 1
        found = [Tally() for _ in entrances]
        own, below_own = Tally(), Tally()
        squares = torch.zeros(len(entrances), dtype=torch.float64)
        spreads = {stop: _RowVariance(self.top.layer(stop).kind) for stop in stops}
        done, total = 0, data.size("test")
        with torch.no_grad():
            for batch in data.batches("test", size):
                n = len(batch.ids)
                below, inputs = send(view_of(self.bottom, batch, self.device)), view_of(self.top, batch, self.device)
                genuine = receive(inputs)
                own.add(genuine[OUTPUT], batch.labels, batch.ids, where=self.top.name)
                below_own.add(below[OUTPUT], batch.labels, batch.ids, where=self.bottom.name)
                inside: list[Tensor] = []
                for stop, piece in zip(stops, pieces):
                    spreads[stop].add(genuine[stop], batch.mask)
                    for entrance in self._at[stop]:
                        x = entrance.adapter(below[entrance.bottom_layer], batch.mask)
                        stitched = mapped(entrance.stitcher, x, self.top.layer(stop).dtype)
                        away = rows(stitched.double() - genuine[stop], spreads[stop].kind, batch.mask)
                        squares[len(inside)] += float(away.square().sum())
                        inside.append(stitched)
                    inside = self._through(piece, inside, inputs, n)
                self._tally(found, inside, batch, entrances)
                done += n
                if tell:
                    tell(f"{self.bottom.name} -> {self.top.name}: {len(entrances)} stitches", done, total)
        judged, i = {}, 0
        for stop in stops:
            for entrance in self._at[stop]:
                judged[entrance.key] = Judged(found[i].outcome(), spreads[stop].share(float(squares[i])))
                i += 1
        return judged, own.outcome(), below_own.outcome()

    def _through(self, piece: Any, inside: Sequence[Tensor], inputs: Any, n: int) -> list[Tensor]:
        """Each stream's activation after a piece of the top; as many streams at once as ``rows_at_once`` allows."""
        step, result = max(1, self.rows_at_once // n), []
        for start in range(0, len(inside), step):
            some = inside[start : start + step]
            joined = torch.cat(list(some)) if len(some) > 1 else some[0]
            out = piece(joined, self.top.repeated(inputs, len(some)) if piece.needs_input else None)
            result += out.split(n)
        return result

    def _tally(
        self, tallies: Sequence[Tally], outputs: Sequence[Tensor], batch: Batch, entrances: Sequence[_Entrance]
    ) -> None:
        joined = torch.stack(list(outputs))
        good = torch.isfinite(joined).flatten(1).all(1)
        if not bool(good.all()):
            bad = int((~good).nonzero()[0, 0])
            raise NonFiniteError(
                f"The output of the stitch {entrances[bad].key} holds NaN or infinity, first for the sample "
                f"{first_bad(joined[bad], batch.ids)}: expected finite numbers; check the weights, or use float32 instead of "
                "half precision."
            )
        k, n = joined.shape[:2]
        whole = Tally()
        labels = batch.labels.repeat(k, *[1] * (batch.labels.ndim - 1))
        whole.add(joined.flatten(0, 1), labels, batch.ids.repeat(k))
        columns = [column.view(k, n) for column in whole.parts[0]]
        for i, tally in enumerate(tallies):
            tally.unit = whole.unit
            if whole.tokens:
                tally.tokens.append(whole.tokens[0].view(k, -1)[i])
            tally.parts.append(tuple(column[i] for column in columns))  # type: ignore[arg-type]


class _RowVariance:
    """The squared distance of rows from their mean, summed over channels, batch by batch (Chan et al. 1983)."""

    def __init__(self, kind: str) -> None:
        self.kind, self.n, self.sum = kind, 0, 0.0
        self.mean: Tensor | None = None

    def add(self, activation: Tensor, mask: Tensor | None) -> None:
        x = rows(activation, self.kind, mask).double()
        mean = x.mean(0, dtype=torch.float64)
        self.sum += float((x - mean).square().sum())
        if self.mean is not None:
            weight = len(x) / (self.n + len(x))
            self.sum += self.n * weight * float((mean - self.mean).square().sum())
            mean = self.mean + weight * (mean - self.mean)
        self.mean, self.n = mean, self.n + len(x)

    def share(self, squares: float) -> float | None:
        """What squares are of the spread; None if that is nothing but rounding."""
        assert self.mean is not None
        rounding = self.n * CONSTANT**2 * float(self.mean.square().sum())
        return squares / self.sum if self.sum > rounding else None
