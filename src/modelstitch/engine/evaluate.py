"""Measure many streams on one split: one bottom forward, one top forward, and every tail."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor

from ..data.data import Batch, Split
from ..data.tasks import Task
from ..errors import MeasureError, NonFiniteError
from ..moments.moments import Moments, Sums
from ..network import OUTPUT, FromLayer, Network
from ..stitchers import masked_mean, masks, rows
from .measure import Outcome, Tally
from .senders import Send, view_of
from .sweep import Stream, Sweep

Answer = Callable[[Batch], Tensor]  # the output for a batch
CONSTANT = 256  # samples whose mean answer is the one answer for all


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


class Sink(Protocol):
    """What becomes of the outputs for a batch."""

    def top(self, output: Tensor) -> None:
        """The top's own output for the batch that comes, where it is read."""
        ...

    def donor(self, name: str, output: Tensor, batch: Batch) -> None:
        """A network's own output."""
        ...

    def stitch(self, stream: Stream, stitched: Tensor, genuine: Tensor | None, output: Tensor, batch: Batch) -> None:
        """A stream's activation in the top, beside the top's own where that is read, and its output."""
        ...

    @property
    def lost(self) -> Collection[int]:
        """The ids of streams that need not be run any more."""
        ...


def read_split(
    split: Split,
    sweep: Sweep,
    sink: Sink,
    streams: Sequence[Stream] = (),
    *,
    send: Send | None = None,
    donors: Mapping[str, Network | Answer] | None = None,
    fitting: bool = False,
    batches: Iterable[Batch] | None = None,
) -> None:
    """Read a split once: each network runs once over a batch, and every stream the rest of the top.

    Args:
        sink: takes what comes out.
        streams: stitchers must be in eval mode.
        send: may stand in for the sweep's sender.
        donors: networks whose own outputs are wanted, by name; with the top's, its activations at the streams' layers
            are read. Or what gives the output for a batch.
        fitting: in the fit's precision, streams one by one; else in the donors' own, streams side by side.
        batches: of the split; all of it by default.
    """
    own = _Own(dict(donors or {}), sweep, streams, send)
    tails = Tails(streams, sweep, split, together=not fitting)
    precise = autocast(sweep) if fitting else nullcontext()
    with torch.no_grad():
        for batch in batches or sweep.data.batches(split, 2 * sweep.spec.batch_size):
            below, inputs = own.below(batch), view_of(sweep.top, batch, sweep.device)
            with precise:
                genuine = own.answer(batch, below, inputs, sink)
                for stream, stitched, output in tails(below, inputs, batch.mask, sink.lost):
                    sink.stitch(stream, stitched, genuine.get(stream.top_layer), output, batch)
            if not fitting:
                sweep.done(len(batch))


class _Own:
    """What networks do by themselves: one forward of the bottom, one of the top, one of each other that is wanted."""

    def __init__(
        self, wanted: dict[str, Network | Answer], sweep: Sweep, streams: Sequence[Stream], send: Send | None
    ) -> None:
        top, device = sweep.top, sweep.device
        layers, at = [s.bottom_layer for s in streams], list(dict.fromkeys(s.top_layer for s in streams))
        self._top = top.name
        asked = top.name in wanted or sweep.data.task.of_top
        self._receive = top.taps(at, output=True).to(device) if asked else None
        others = {name: net for name, net in wanted.items() if name != top.name}
        given = [
            n for n, net in others.items() if isinstance(net, Network) and send is None and sweep.sender.gives(net)
        ]
        self._below = given[0] if given else None  # its output comes with the bottom's activations
        self._send = send or (sweep.sender.open(layers, device, output=bool(given)) if layers else None)
        self._others = {name: _answer(net, device) for name, net in others.items() if name != self._below}

    def below(self, batch: Batch) -> dict[str, Tensor]:
        """The bottom's activations."""
        return self._send(batch) if self._send else {}

    def answer(self, batch: Batch, below: dict[str, Tensor], inputs: Any, sink: Sink) -> dict[str, Tensor]:
        """Give the sink the outputs that are wanted, and return the top's own activations."""
        genuine: dict[str, Tensor] = self._receive(inputs) if self._receive else {}
        if self._receive:
            sink.top(genuine[OUTPUT])
            sink.donor(self._top, genuine[OUTPUT], batch)
        if self._below is not None:
            sink.donor(self._below, below[OUTPUT], batch)
        for name, answer in self._others.items():
            sink.donor(name, answer(batch), batch)
        return genuine


def _answer(network: Network | Answer, device: torch.device) -> Answer:
    """A network as what gives its output for a batch."""
    if not isinstance(network, Network):
        return network
    full = network.full().to(device)
    return lambda batch: full(view_of(network, batch, device))


class _Tallies:
    """Outcomes of networks and streams; what gives NaN or infinity is lost, but for those that must not.

    Attributes:
        lost: the streams that are, by id, and why.
    """

    def __init__(
        self,
        task: Task,
        streams: Sequence[Stream],
        must: Collection[str] = (),
        names: Collection[str] = (),
        *,
        whole: bool = False,
        constants: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.lost: dict[int, str] = {}
        same = constants or {}
        self.own = {name: Tally(task, whole=whole, constant=same.get(name)) for name in names}
        self._must, self._own_target = must, task.of_top
        self._target: Tensor | None = None
        self._of = {id(stream): Tally(task, whole=whole) for stream in streams}

    def top(self, output: Tensor) -> None:
        """What the top gives by itself for the batch that comes."""
        self._target = output

    def _wanted(self, batch: Batch) -> Tensor:
        """What outputs for a batch are held against."""
        if not self._own_target:
            return batch.labels
        assert self._target is not None
        return self._target.detach().float()

    def donor(self, name: str, output: Tensor, batch: Batch) -> None:
        if name not in self.own:
            return
        try:
            self.own[name].add(output, self._wanted(batch), batch.ids, where=name)
        except NonFiniteError:
            if name in self._must:
                raise
            del self.own[name]  # the top can be held against labels still

    def stitch(self, stream: Stream, stitched: Tensor, genuine: Tensor | None, output: Tensor, batch: Batch) -> None:
        try:
            self._of[id(stream)].add(output, self._wanted(batch), batch.ids, where=f"the stitch {stream}")
        except NonFiniteError as error:
            self.lost[id(stream)] = str(error)

    def outcome(self, stream: Stream, source: str = "") -> Outcome | None:
        """Of a stream; None if it is lost."""
        return None if id(stream) in self.lost else self._of[id(stream)].outcome(source)


class _Truths(_Tallies):
    """Outcomes, and how near stitched activations are to genuine ones."""

    def __init__(self, task: Task, streams: Sequence[Stream], must: Collection[str], names: Collection[str]) -> None:
        super().__init__(task, streams, must, names, whole=True)
        self.lost |= {id(stream): stream.failed for stream in streams if stream.failed}
        shared: dict[Any, _Genuine] = {}
        self._near = {}
        for stream in streams:
            if id(stream) not in self.lost:
                key = (stream.top_layer, _moments(stream).yy.data_ptr())
                if key not in shared:
                    shared[key] = _Genuine(stream)
                self._near[id(stream)] = _Near(shared[key])

    def stitch(self, stream: Stream, stitched: Tensor, genuine: Tensor | None, output: Tensor, batch: Batch) -> None:
        super().stitch(stream, stitched, genuine, output, batch)
        if id(stream) not in self.lost:
            assert genuine is not None
            self._near[id(stream)].add(stitched, genuine, batch.mask)

    def truth(self, stream: Stream) -> Truth:
        return self._near[id(stream)].truth()


def outcomes(
    streams: Sequence[Stream],
    sweep: Sweep,
    split: Split,
    send: Send | None = None,
    *,
    batches: Iterable[Batch] | None = None,
) -> list[Outcome | None]:
    """The outcome of every stream on a split, in the fit's precision; None where an output is not finite.

    Stitchers must be in eval mode. ``send`` may stand in for the sweep's sender, ``batches`` for the whole split.
    """
    if not streams:
        return []
    found = _Tallies(sweep.data.task, streams)
    read_split(split, sweep, found, streams, send=send, fitting=True, batches=batches)
    return [found.outcome(stream) for stream in streams]


def own_outcomes(
    networks: Mapping[str, Network | Answer],
    sweep: Sweep,
    split: Split,
    *,
    fitting: bool = False,
    batches: Iterable[Batch] | None = None,
) -> dict[str, Outcome]:
    """What networks do by themselves on a split.

    Args:
        networks: by name; or what gives the output for a batch.
        fitting: as for ``read_split``.
        batches: as for ``read_split``.

    Raises:
        NonFiniteError: an output holds NaN or infinity.
    """
    task = sweep.data.task

    def drawn(network: Network) -> bool:
        """Whether the level of chance needs no answer of the network's."""
        return task.chance(_width(network)) is not None or (task.leveled and not fitting)

    constants = {
        name: constant_answer(network, sweep)
        for name, network in networks.items()
        if isinstance(network, Network) and not drawn(network)
    }
    found = _Tallies(sweep.data.task, (), networks, networks, whole=not fitting, constants=constants)
    read_split(split, sweep, found, donors=networks, fitting=fitting, batches=batches)
    source = sweep.data.test_fingerprint if split == "test" else ""
    return {name: tally.outcome(source) for name, tally in found.own.items()}


def own_error(sweep: Sweep, batches: Iterable[Batch] | None = None) -> tuple[float, float]:
    """The top's own validation error, and that of answers drawn at random, or of one answer for all samples.

    ``batches`` may stand in for the whole split.
    """
    top = sweep.top
    own = own_outcomes({top.name: top}, sweep, "val", fitting=True, batches=batches)[top.name]
    level = sweep.data.task.chance(_width(top)) if own.chance is None else own.chance
    return own.error, own.error if level is None else level


def _width(network: Network) -> int:
    """How many outputs a network has at each place."""
    return network.output_shape[-1] if network.output_shape else 1


def constant_answer(network: Network, sweep: Sweep) -> Tensor:
    """The mean of what a network answers to validation samples, (...): one answer for all."""
    full, total, n = network.full().to(sweep.device), torch.zeros(()), 0
    with torch.no_grad():
        for batch in sweep.data.few("val", CONSTANT, sweep.spec.batch_size):
            output = full(view_of(network, batch, sweep.device)).double().cpu()
            total, n = total + output.sum(0), n + len(output)
    return total / n


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
        (outcome, truth) of each stream, None where it has failed, and {name: outcome} of the top and the others. A
        stream whose output holds NaN or infinity has failed; another network with such an output is left out.

    Raises:
        NonFiniteError: if the top's output holds NaN or infinity.
    """
    top, source = sweep.top, sweep.data.test_fingerprint
    donors = {top.name: top, **(others or {})}
    found = _Truths(sweep.data.task, streams, [top.name], donors)
    read_split("test", sweep, found, streams, donors=donors)
    for stream in streams:
        stream.failed = found.lost.get(id(stream), "")
    measured = [None if (o := found.outcome(s, source)) is None else (o, found.truth(s)) for s in streams]
    return measured, {name: tally.outcome(source) for name, tally in found.own.items()}


def _side_by_side(top: Network, spare: int) -> int:
    """How many samples run through a top together."""
    largest = max((torch.Size(top.layer(name).shape).numel() for name in top.cuts), default=1)
    return max(1, min(ROWS, min(BYTES, spare) // (4 * largest)))


def autocast(sweep: Sweep, *, cache: bool = True) -> torch.autocast:
    """bfloat16 where the spec asks for it, else nothing."""
    enabled = sweep.spec.precision == "bfloat16"
    return torch.autocast(sweep.device.type, torch.bfloat16, enabled=enabled, cache_enabled=cache)


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

    def truth(self) -> Truth:
        yy = self.genuine.sums.own
        spread = float(yy.diagonal().sum())
        stitched, genuine = torch.cat(self.distances), torch.cat(self.genuine.distances)
        norms = float(self.sums.own.norm() * yy.norm())
        usual = float(genuine.median())
        return Truth(
            relative_mse=self.squares / spread if spread > 0 else None,
            cka=float(self.sums.cross.square().sum()) / norms if norms > 0 else None,
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


def _whitener(moments: Moments) -> Tensor:
    """Columns that turn centred top activations into unit variance; directions without variance are left out."""
    values, vectors = torch.linalg.eigh(moments.yy.double() / max(moments.n, 1))
    kept = values > 1e-6 * values.clamp(min=0).mean()
    whitener: Tensor = vectors[:, kept] / values[kept].sqrt()
    return whitener


ROWS = 4096  # samples of all streams that run through the top together
BYTES = 64_000_000  # of their largest activation; fewer where the memory budget leaves less


class Tails:
    """All streams of a sweep into one top.

    The top is run from each entered layer to the next; there the streams that enter are put behind those already
    inside, along the batch dimension. Nothing in a frozen top mixes samples, so that each stream's output is what its
    own tail would have given. A stream with statistics of its own, and every stream into a top that mixes samples, runs
    its own tail; so do all that are not to run ``together``.
    """

    def __init__(self, streams: Sequence[Stream], sweep: Sweep, split: Split, *, together: bool = True) -> None:
        top, joint = sweep.top, [s for s in streams if together and not s.norms and not s.failed]
        if len(joint) < 2 or top.mixes(view_of(top, next(sweep.data.batches(split, 8)), sweep.device)):
            joint = []
        self._top, order = top, top.cuts.index
        self._joint = sorted(joint, key=lambda s: order(top.cut(s.top_layer)))
        self._alone = [s for s in streams if all(s is not other for other in joint)]
        stops = list(dict.fromkeys(s.top_layer for s in self._joint))
        pieces = [top.segment(a, b) for a, b in pairwise(stops)] + [top.top(at) for at in stops[-1:]]
        self._pieces: list[tuple[str, FromLayer]] = [(at, p.to(sweep.device)) for at, p in zip(stops, pieces)]
        self._rows = _side_by_side(top, sweep.spare) if joint else 0

    def __call__(
        self, below: dict[str, Tensor], inputs: Any, mask: Tensor | None, lost: Collection[int] = ()
    ) -> Iterator[tuple[Stream, Tensor, Tensor]]:
        """(stream, its stitched activation, its output) of every stream whose id is not ``lost``."""
        for stream in self._alone:
            if id(stream) not in lost:
                stitched, values = stream.forward(below[stream.bottom_layer], inputs, mask)
                yield stream, stitched, values[OUTPUT]
        going = [stream for stream in self._joint if id(stream) not in lost]
        at_once = max(1, self._rows // max(1, len(next(iter(below.values()))))) if going else 1
        for start in range(0, len(going), at_once):
            yield from self._together(going[start : start + at_once], below, inputs, mask)

    def _together(
        self, streams: Sequence[Stream], below: dict[str, Tensor], inputs: Any, mask: Tensor | None
    ) -> Iterator[tuple[Stream, Tensor, Tensor]]:
        """The same of a few streams, in the order of the top's layers."""
        stitched = [stream.stitched(below[stream.bottom_layer], mask) for stream in streams]
        inside: Tensor | None = None
        for at, piece in self._pieces:
            new = [x for stream, x in zip(streams, stitched) if stream.top_layer == at]
            parts = [*([] if inside is None else [inside]), *new]
            if parts:
                inside = torch.cat(parts) if len(parts) > 1 else parts[0]
                times = len(inside) // len(stitched[0])
                inside = piece(inside, self._top.repeated(inputs, times) if piece.needs_input else None)
        assert inside is not None
        yield from zip(streams, stitched, torch.split(inside, len(stitched[0])))
