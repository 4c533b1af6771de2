"""Measure many streams on one split: one bottom forward, one top forward, and every tail."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..data.data import Split
from ..errors import MeasureError, NonFiniteError
from ..moments.moments import Moments
from ..network import OUTPUT, Network
from ..stats.chance import chance_error
from ..stitchers import masked_mean, masks, rows
from .measure import Outcome, Tally
from .senders import Send, view_of
from .streams import Stream
from .sweep import Sweep


@dataclass(frozen=True)
class Truth:
    """How near stitched activations are to genuine ones on held-out samples, by position.

    Attributes:
        relative_mse: |s - y|^2 / |y - mean y|^2; 0 is equal, 1 is as bad as the mean. None, as the others, where the
            genuine activations do not vary (one test example of a vector).
        cka: linear CKA of stitched and genuine activations over positions, 0 to 1.
        ood: median Mahalanobis distance of stitched samples under the genuine fit moments, over that of genuine ones.
        ood_share: percent of stitched samples beyond the genuine 99th percentile.
    """

    relative_mse: float | None
    cka: float | None
    ood: float | None
    ood_share: float | None


def outcomes(streams: Sequence[Stream], sweep: Sweep, split: Split, send: Send | None = None) -> list[Outcome | None]:
    """The outcome of every stream on a split, with one shared bottom forward; None where an output is not finite.

    Stitchers must be in eval mode. ``send`` may stand in for the sweep's sender.
    """
    if not streams:
        return []
    send = send or sweep.sender.open([s.bottom_layer for s in streams], sweep.device)
    tallies = [Tally() for _ in streams]
    lost = [False] * len(streams)
    with torch.no_grad():
        for batch in sweep.data.batches(split, 2 * sweep.spec.batch_size):
            below, inputs = send(batch), view_of(sweep.top, batch, sweep.device)
            for i, (stream, tally) in enumerate(zip(streams, tallies)):
                if lost[i]:
                    continue
                with autocast(sweep):
                    _, values = stream.forward(below[stream.bottom_layer], inputs, batch.mask)
                try:
                    tally.add(values[OUTPUT], batch.labels, batch.ids)
                except NonFiniteError:
                    lost[i] = True
    return [None if gone else tally.outcome() for tally, gone in zip(tallies, lost)]


def own_error(sweep: Sweep) -> tuple[float, float]:
    """The top's own error on the validation split, and that of answers drawn at random, in percent, or nats per token."""
    full, tally = sweep.top.full().to(sweep.device), Tally()
    with torch.no_grad():
        for batch in sweep.data.batches("val", 2 * sweep.spec.batch_size):
            with autocast(sweep):
                output = full(view_of(sweep.top, batch, sweep.device))
            tally.add(output, batch.labels, batch.ids, where=sweep.top.name)
    own, classes = tally.outcome(), sweep.top.output_shape[-1]
    return own.error, chance_error(classes) if own.unit == "points" else math.log(classes)


def final(
    streams: Sequence[Stream],
    sweep: Sweep,
    others: Mapping[str, Network] | None = None,
) -> tuple[list[tuple[Outcome, Truth] | None], dict[str, Outcome]]:
    """The test split, read in one pass: every stream with how near its activations are to genuine ones, and donors.

    Everything runs in the donors' own precision, whatever the fit used.

    Args:
        others: networks whose own outcomes are wanted too, by name; the top's is always there, under its name.

    Returns:
        (outcome, truth) of each stream, None where it has failed, and {name: outcome} of the top and the others. A stream
        whose output holds NaN or infinity has failed; another network with such an output is left out.

    Raises:
        NonFiniteError: if the top's output holds NaN or infinity.
    """
    top = sweep.top
    below_too = next((n for n, net in (others or {}).items() if n != top.name and sweep.sender.gives(net)), None)
    send = sweep.sender.open([s.bottom_layer for s in streams], sweep.device, output=below_too is not None)
    receive = top.taps(list(dict.fromkeys(s.top_layer for s in streams)), output=True).to(sweep.device)
    whole = {
        name: net.full().to(sweep.device) for name, net in (others or {}).items() if name not in (top.name, below_too)
    }
    tallies, own = [Tally() for _ in streams], {name: Tally() for name in (top.name, *(others or {}))}
    checks = [None if s.failed else _Check(s) for s in streams]
    with torch.no_grad():
        for batch in sweep.data.batches("test", 2 * sweep.spec.batch_size):
            below, inputs = send(batch), view_of(top, batch, sweep.device)
            genuine = receive(inputs)
            own[top.name].add(genuine[OUTPUT], batch.labels, batch.ids, where=top.name)
            answers = {below_too: below[OUTPUT]} if below_too is not None else {}
            answers |= {n: module(view_of((others or {})[n], batch, sweep.device)) for n, module in whole.items()}
            for name in [name for name in answers if name in own]:
                try:
                    own[name].add(answers[name], batch.labels, batch.ids, where=name)
                except NonFiniteError:
                    del own[name]  # the top can be held against labels still
            for stream, tally, check in zip(streams, tallies, checks):
                if stream.failed or check is None:
                    continue
                mapped, values = stream.forward(below[stream.bottom_layer], inputs, batch.mask)
                try:
                    tally.add(values[OUTPUT], batch.labels, batch.ids, where=f"the stitch {stream}")
                except NonFiniteError as error:
                    stream.failed = str(error)
                    continue
                check.add(mapped, genuine[stream.top_layer], batch.mask)
            sweep.done(len(batch))
    source = sweep.data.test_fingerprint
    found = [
        None if stream.failed or check is None else (tally.outcome(source), check.truth())
        for stream, tally, check in zip(streams, tallies, checks)
    ]
    return found, {name: tally.outcome(source) for name, tally in own.items()}


def autocast(sweep: Sweep, *, cache: bool = True) -> torch.autocast:
    """bfloat16 where the spec asks for it, else nothing."""
    enabled = sweep.spec.precision == "bfloat16"
    return torch.autocast(sweep.device.type, torch.bfloat16, enabled=enabled, cache_enabled=cache)


class _Check:
    """Sums over the test split for one stream."""

    def __init__(self, stream: Stream) -> None:
        moments = stream.moments
        if moments is None:
            raise MeasureError(f"The seam {stream.bottom_layer} -> {stream.top_layer} has no moments.")
        self.kind = stream.site.kind
        self.pair = Moments.empty(stream.site.q, stream.site.q, device=moments.xx.device)
        self.squares = 0.0
        self.mean, self.whitener = moments.mean_y, _whitener(moments)
        self.distances: list[tuple[Tensor, Tensor]] = []

    def add(self, stitched: Tensor, genuine: Tensor, mask: Tensor | None) -> None:
        stitched, genuine = stitched.to(self.mean), genuine.to(self.mean)  # float64, once for all sums
        x, y = rows(stitched, self.kind, mask), rows(genuine, self.kind, mask)
        self.pair.update(x, y)
        self.squares += float((x - y).square().sum())
        self.distances.append((self._distance(stitched, mask), self._distance(genuine, mask)))

    def _distance(self, activation: Tensor, mask: Tensor | None) -> Tensor:
        """Root mean squared Mahalanobis distance of each sample's positions, (n,)."""
        z = torch.addmm(-(self.mean @ self.whitener), rows(activation, self.kind), self.whitener)
        squares = z.square().sum(1).view(len(activation), -1)
        if mask is None or not masks(mask, activation, self.kind):
            return squares.mean(1).sqrt()
        return masked_mean(squares[..., None], mask)[:, 0].sqrt()

    def truth(self) -> Truth:
        spread = float(self.pair.yy.diagonal().sum())
        stitched, genuine = (torch.cat(column) for column in zip(*self.distances))
        norms = float(self.pair.xx.norm() * self.pair.yy.norm())
        usual = float(genuine.median())
        return Truth(
            relative_mse=self.squares / spread if spread > 0 else None,
            cka=float(self.pair.xy.square().sum()) / norms if norms > 0 else None,
            ood=float(stitched.median()) / usual if usual > 0 else None,
            ood_share=100.0 * float((stitched > genuine.quantile(0.99)).double().mean()) if usual > 0 else None,
        )


def _whitener(moments: Moments) -> Tensor:
    """Columns that turn centred top activations into unit variance; directions without variance are left out."""
    values, vectors = torch.linalg.eigh(moments.yy / max(moments.n, 1))
    kept = values > 1e-6 * values.clamp(min=0).mean()
    whitener: Tensor = vectors[:, kept] / values[kept].sqrt()
    return whitener
