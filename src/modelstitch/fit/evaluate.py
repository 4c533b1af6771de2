"""Measure many streams on one split: one bottom forward, one top forward, and every tail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import MeasureError
from ..measure import Outcome, Tally
from ..moments import Moments
from ..network import Network
from ..sources.data import Data, Split
from ..stitchers import rows
from .closed import Tick
from .options import FitSpec
from .senders import Sender, view_of
from .streams import Stream


@dataclass(frozen=True)
class Truth:
    """How near stitched activations are to genuine ones on held-out samples, by position.

    Attributes:
        relative_mse: |s - y|^2 / |y - mean y|^2; 0 is equal, 1 is as bad as the mean.
        cka: linear CKA of stitched and genuine activations over positions, 0 to 1.
        ood: median Mahalanobis distance of stitched samples under the genuine fit moments, over that of genuine ones.
        ood_share: percent of stitched samples beyond the genuine 99th percentile.
    """

    relative_mse: float
    cka: float | None
    ood: float
    ood_share: float


def outcomes(
    streams: Sequence[Stream],
    sender: Sender,
    top: Network,
    data: Data,
    split: Split,
    spec: FitSpec,
    device: torch.device,
) -> list[Outcome]:
    """The outcome of every stream on a split. Stitchers must be in eval mode."""
    if not streams:
        return []
    send = sender.open([s.bottom_layer for s in streams], device)
    tallies = [Tally() for _ in streams]
    with torch.no_grad():
        for batch in data.batches(split, spec.batch_size * 2):
            below, inputs = send(batch), view_of(top, batch, device)
            for stream, tally in zip(streams, tallies):
                with torch.autocast(device.type, torch.bfloat16, enabled=spec.precision == "bfloat16"):
                    _, values = stream.forward(below[stream.bottom_layer], inputs)
                tally.add(values["output"], batch.labels, batch.ids, where=f"the stitch at {stream.top_layer}")
    return [tally.outcome() for tally in tallies]


def final(
    streams: Sequence[Stream],
    moments: dict[tuple[str, str], Moments],
    sender: Sender,
    top: Network,
    data: Data,
    spec: FitSpec,
    device: torch.device,
    *,
    tick: Tick | None = None,
) -> list[tuple[Outcome, Truth]]:
    """The test split, read once: the outcome of every stream, and how near its activations are to genuine ones.

    Here everything runs in the donors' own precision, whatever the fit used.
    """
    if not streams:
        return []
    send = sender.open([s.bottom_layer for s in streams], device)
    receive = top.taps(list(dict.fromkeys(s.top_layer for s in streams))).to(device)
    tallies = [Tally() for _ in streams]
    checks = [_Check(s, moments.get((s.bottom_layer, s.top_layer))) for s in streams]
    with torch.no_grad():
        for batch in data.batches("test", spec.batch_size * 2):
            below, inputs = send(batch), view_of(top, batch, device)
            genuine = receive(inputs)
            for stream, tally, check in zip(streams, tallies, checks):
                mapped, values = stream.forward(below[stream.bottom_layer], inputs)
                tally.add(values["output"], batch.labels, batch.ids, where=f"the stitch at {stream.top_layer}")
                check.add(mapped, genuine[stream.top_layer])
            if tick:
                tick(len(batch))
    return [(tally.outcome(), check.truth()) for tally, check in zip(tallies, checks)]


def donor_outcome(network: Network, data: Data, split: Split, spec: FitSpec, device: torch.device) -> Outcome:
    """What a donor itself does on a split."""
    whole, tally = network.full().to(device), Tally()
    with torch.no_grad():
        for batch in data.batches(split, spec.batch_size * 2):
            tally.add(whole(view_of(network, batch, device)), batch.labels, batch.ids, where=network.name)
    return tally.outcome()


class _Check:
    """Sums over the test split for one stream."""

    def __init__(self, stream: Stream, moments: Moments | None) -> None:
        if moments is None:
            raise MeasureError(f"The seam {stream.bottom_layer} -> {stream.top_layer} has no moments.")
        self.kind = stream.site.kind
        self.pair = Moments.empty(stream.site.q, stream.site.q, device=moments.xx.device)
        self.squares = 0.0
        self.mean, self.whitener = moments.mean_y, _whitener(moments)
        self.distances: list[tuple[Tensor, Tensor]] = []

    def add(self, stitched: Tensor, genuine: Tensor) -> None:
        x, y = rows(stitched, self.kind), rows(genuine, self.kind)
        self.pair.update(x, y)
        self.squares += float((x.double() - y.double()).square().sum())
        self.distances.append((self._distance(stitched), self._distance(genuine)))

    def _distance(self, activation: Tensor) -> Tensor:
        """Root mean squared Mahalanobis distance of each sample's positions, (n,)."""
        z = (rows(activation, self.kind).to(self.mean) - self.mean) @ self.whitener
        return z.square().sum(1).view(len(activation), -1).mean(1).sqrt()

    def truth(self) -> Truth:
        spread = float(self.pair.yy.diagonal().sum())
        stitched, genuine = (torch.cat(column) for column in zip(*self.distances))
        norms = float(self.pair.xx.norm() * self.pair.yy.norm())
        usual = float(genuine.median())
        return Truth(
            relative_mse=self.squares / spread if spread > 0 else 0.0,
            cka=float(self.pair.xy.square().sum()) / norms if norms > 0 else None,
            ood=float(stitched.median()) / usual if usual > 0 else 1.0,
            ood_share=100.0 * float((stitched > genuine.quantile(0.99)).double().mean()),
        )


def _whitener(moments: Moments) -> Tensor:
    """Columns that turn centred top activations into unit variance; directions without variance are left out."""
    values, vectors = torch.linalg.eigh(moments.yy / max(moments.n, 1))
    kept = values > 1e-6 * values.clamp(min=0).mean()
    whitener: Tensor = vectors[:, kept] / values[kept].sqrt()
    return whitener
