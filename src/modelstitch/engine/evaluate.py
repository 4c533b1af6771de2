"""Read a split once: every network runs once over a batch, and every stitch its map and the rest of its top."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from ..data.batch import Batch
from ..data.data import Split
from ..data.tasks import Task
from ..errors import NonFiniteError
from ..network import OUTPUT, Network
from ..support.resume import Unfinished
from .measure import Outcome, Tally
from .senders import NetworkSender, Send, view_of
from .sweep import Stream, Sweep
from .tails import Rest, Tails
from .truth import ByOwner, Ends, Truth, Truths

Answer = Callable[[Batch], Tensor]  # the output for a batch
CONSTANT = 256  # samples whose mean answer is the one answer for all


@dataclass(frozen=True)
class SplitPart:
    """What is read of one sweep.

    Attributes:
        sweep: who sends, and who receives.
        streams: stitchers must be in eval mode.
        donors: networks whose own outputs are wanted, by name; with the top's, its activations at the streams' layers
            are read. Or what gives the output for a batch.
        send: may stand in for the sweep's sender.
    """

    sweep: Sweep
    streams: Sequence[Stream] = ()
    donors: Mapping[str, Network | Answer] = field(default_factory=dict)
    send: Send | None = None

    def tasks(self) -> dict[str, Task]:
        """What judges the donors' own outputs: a task may be another for each network."""
        data, top, device = self.sweep.data, self.sweep.top, self.sweep.device
        return {
            self.called(name): data.task.for_top(donor, data, device)
            if isinstance(donor, Network) and donor is not top
            else data.task
            for name, donor in self.donors.items()
        }

    def called(self, donor: str) -> str:
        """The name of a donor's outcome: held against a top's own output it is that top's alone."""
        own = self.sweep.data.task.of_top and donor != self.sweep.top.name
        return f"{donor} under {self.sweep.top.name}" if own else donor


class Sink(Protocol):
    """What becomes of the activations and outputs for a batch."""

    def ends(self, streams: Sequence[Ends]) -> int:
        """Where the activations of all streams will be, before the first batch; how many batches it has had already."""
        ...

    def batch(self, values: ByOwner, batch: Batch) -> None:
        """What all networks give, after all streams."""
        ...

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
    parts: Sequence[SplitPart],
    sink: Sink,
    *,
    fitting: bool = False,
    batches: Iterable[Batch] | None = None,
) -> None:
    """Read a split once: each network runs once over a batch, and every stream the rest of its top.

    Args:
        parts: of sweeps that see the same samples of the split.
        sink: takes what comes out.
        fitting: in the fit's precision, streams one by one; else in the donors' own, streams side by side.
        batches: of the split; all of it by default.
    """
    sweep, sources = parts[0].sweep, _Sources()
    rests = {id(part.sweep.top): Rest(part.sweep.top, sweep.device) for part in parts}
    ways = [_Route(part, sources, rests[id(part.sweep.top)], split, fitting=fitting) for part in parts]
    before = sink.ends([ends for way in ways for ends in way.ends])
    precise = autocast(sweep) if fitting else nullcontext()
    with torch.no_grad():
        for number, batch in enumerate(batches or sweep.data.batches(split, 2 * sweep.spec.batch_size)):
            if number >= before:
                values = sources(batch, late=False)
                with precise:
                    values |= sources(batch, late=True)
                    heard: set[str] = set()
                    views: dict[int, Any] = {}
                    for way in ways:
                        way.run(values, batch, sink, heard, views)
                sink.batch(values, batch)
                del values, views  # else they stay while the next batch goes through
            if not fitting:
                sweep.done(len(batch))


_BottomKey = tuple[bool, int]  # whether it runs in the precision of a fit, and what it is
_Opener = Callable[[list[str], bool], Send]


class _Sources:
    """All that give activations or outputs for a batch: each runs once over it, for whoever wants some of them."""

    def __init__(self) -> None:
        self._asked: dict[_BottomKey, tuple[_Opener, list[str], bool]] = {}
        self._sends: dict[_BottomKey, Send] = {}

    def want(self, key: _BottomKey, opened: _Opener, layers: Sequence[str] = (), *, output: bool = False) -> _BottomKey:
        """Ask for layers, and for the output, of what ``opened`` opens."""
        _, before, too = self._asked.get(key, (opened, [], False))
        self._asked[key] = opened, list(dict.fromkeys([*before, *layers])), too or output
        return key

    def __call__(self, batch: Batch, *, late: bool) -> dict[Hashable, dict[str, Tensor]]:
        """What they give, by key; ``late`` are those that run in the precision of a fit."""
        if not self._sends:
            self._sends = {key: opened(layers, output) for key, (opened, layers, output) in self._asked.items()}
        return {key: send(batch) for key, send in self._sends.items() if key[0] == late}


class _Route:
    """One part on its way through a split: its bottom's activations, its top's own, its donors' outputs, its tails."""

    def __init__(self, part: SplitPart, sources: _Sources, rest: Rest, split: Split, *, fitting: bool) -> None:
        sweep, top, device = part.sweep, part.sweep.top, part.sweep.device
        self._part = part
        self._below = _below(part, sources) if part.streams else None
        layers = list(dict.fromkeys(s.top_layer for s in part.streams))
        self._own: _BottomKey | None = None
        if top.name in part.donors or sweep.data.task.of_top:
            self._own = sources.want((fitting, id(top)), _of(top, device), layers, output=True)
        self._donors = {
            part.called(name): sources.want((fitting, id(donor)), _of(donor, device), output=True)
            for name, donor in part.donors.items()
        }
        self._tails = Tails(part.streams, sweep, split, together=not fitting, rest=rest)
        self.ends = (
            []
            if self._below is None or self._own is None
            else [
                Ends(stream, self._below, self._own, sweep.sender, top) for stream in part.streams if not stream.failed
            ]
        )

    def run(self, values: ByOwner, batch: Batch, sink: Sink, heard: set[str], views: dict[int, Any]) -> None:
        """Give the sink what comes of a batch.

        Args:
            values: what all networks give for it.
            heard: donors whose outputs the sink has; these are added.
            views: the batch as tops see it; this top's is added.
        """
        top, genuine = self._part.sweep.top, {} if self._own is None else values[self._own]
        if self._own is not None:
            sink.top(genuine[OUTPUT])
        for name, key in self._donors.items():
            if name not in heard:
                sink.donor(name, values[key][OUTPUT], batch)
        heard.update(self._donors)
        if self._below is None:
            return
        if id(top) not in views:
            views[id(top)] = view_of(top, batch, self._part.sweep.device)
        below = values[self._below]
        for stream, stitched, output in self._tails(below, views[id(top)], batch.mask, sink.lost):
            sink.stitch(stream, stitched, genuine.get(stream.top_layer), output, batch)


def _below(part: SplitPart, sources: _Sources) -> _BottomKey:
    """Ask for the activations that a part's streams begin with."""
    sweep, layers, given = part.sweep, [stream.bottom_layer for stream in part.streams], part.send
    if given is not None:
        return sources.want((False, id(given)), lambda *_: given)
    sender = sweep.sender
    if isinstance(sender, NetworkSender) and sender.gives(sender.network):
        return sources.want((False, id(sender.network)), _of(sender.network, sweep.device), layers)
    return sources.want(
        (False, id(sender)), lambda names, output: sender.open(names, sweep.device, output=output), layers
    )


def _of(donor: Network | Answer, device: torch.device) -> _Opener:
    """How a network is opened, or what gives the output for a batch."""

    def opened(layers: list[str], output: bool) -> Send:
        if not isinstance(donor, Network):
            return lambda batch: {OUTPUT: donor(batch)}
        if layers:
            return NetworkSender(donor).open(layers, device, output=output)
        full = donor.whole(device)
        return lambda batch: {OUTPUT: full(view_of(donor, batch, device))}

    return opened


class _Tallies:
    """Outcomes of networks and streams; what gives NaN or infinity is lost, but for those that must not.

    Attributes:
        lost: the streams that are, by id, and why.
    """

    def __init__(
        self,
        parts: Sequence[SplitPart],
        must: Collection[str] = (),
        *,
        whole: bool = False,
        constants: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.lost: dict[int, str] = {}
        same = constants or {}
        tasks: dict[str, Task] = {}
        for part in parts:
            tasks |= {name: task for name, task in part.tasks().items() if name not in tasks}
        self.own = {name: Tally(task, whole=whole, constant=same.get(name)) for name, task in tasks.items()}
        self._must, self._own_target = must, parts[0].sweep.data.task.of_top
        self._target: Tensor | None = None
        self._of = {id(s): Tally(part.sweep.data.task, whole=whole) for part in parts for s in part.streams}

    def ends(self, streams: Sequence[Ends]) -> int:
        """Outputs alone are asked for."""
        return 0

    def batch(self, values: ByOwner, batch: Batch) -> None:
        """Outputs alone are asked for."""

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


class _Tallied(_Tallies):
    """Outcomes, and how near stitched activations are to genuine ones.

    Args:
        kept: where all of it is left as it grows, and taken up again; nowhere where a task counts in a way of its own.
        apart: as ``final`` has it.
    """

    def __init__(self, parts: Sequence[SplitPart], kept: Unfinished | None = None, *, apart: bool = False) -> None:
        super().__init__(parts, {part.sweep.top.name for part in parts}, whole=True)
        self._parts = {
            id(stream): number if apart else 0 for number, part in enumerate(parts) for stream in part.streams
        }
        self._streams = [stream for part in parts for stream in part.streams]
        lasting = all(tally.lasting for tally in (*self.own.values(), *self._of.values()))
        self._kept, self._batches, self._written = kept if lasting else None, 0, 0
        self._asked = {
            "batch size": parts[0].sweep.spec.batch_size,
            "streams": [stream.key for stream in self._streams],
            "donors": list(self.own),
        }
        self.lost |= {id(stream): stream.failed for part in parts for stream in part.streams if stream.failed}
        self.truths: list[Truths]

    def ends(self, streams: Sequence[Ends]) -> int:
        parts: list[list[Ends]] = [[] for _ in range(max(self._parts.values(), default=0) + 1)]
        for ends in streams:
            parts[self._parts[id(ends.stream)]].append(ends)
        self.truths = list(map(Truths, parts))
        state = None if self._kept is None else self._kept.read()
        if self._kept is not None and state is not None:
            if state["asked"] == self._asked:
                self.take_up(state)
            else:
                self._kept.before = 0.0  # of other streams, or in other batches: begun anew
        return self._batches

    def batch(self, values: ByOwner, batch: Batch) -> None:
        for truths in self.truths:
            self.lost = truths.add(values, batch) | self.lost
        self._batches += 1
        if self._kept is not None and self._kept.due:
            self.leave()

    def leave(self) -> None:
        """Write down what is not written yet."""
        if self._kept is not None and self._batches > self._written:
            self._kept.write(self.state())
            self._written = self._batches

    def state(self) -> dict[str, Any]:
        """What was counted so far, streams in the order in which they were given."""
        return {
            "asked": self._asked,
            "batches": self._batches,
            "lost": [self.lost.get(id(stream)) for stream in self._streams],
            "own": {name: tally.state() for name, tally in self.own.items()},
            "stitches": [self._of[id(stream)].state() for stream in self._streams],
            "truths": [truths.state() for truths in self.truths],
        }

    def take_up(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self._batches = self._written = state["batches"]
        self.lost = {id(stream): why for stream, why in zip(self._streams, state["lost"]) if why is not None}
        self.own = {name: tally for name, tally in self.own.items() if name in state["own"]}
        for name, tally in self.own.items():
            tally.take_up(state["own"][name])
        for stream, held in zip(self._streams, state["stitches"]):
            self._of[id(stream)].take_up(held)
        for truths, held in zip(self.truths, state["truths"], strict=True):
            truths.take_up(held)

    def stitch(self, stream: Stream, stitched: Tensor, genuine: Tensor | None, output: Tensor, batch: Batch) -> None:
        super().stitch(stream, stitched, genuine, output, batch)
        if id(stream) not in self.lost:
            assert genuine is not None
            self.truths[self._parts[id(stream)]].stitch(stream, stitched, genuine, batch.mask)

    def truth(self, stream: Stream) -> Truth:
        """How near its activations are to genuine ones."""
        return self.truths[self._parts[id(stream)]].of(stream)


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
    part = SplitPart(sweep, streams, send=send)
    found = _Tallies([part])
    read_split(split, [part], found, fitting=True, batches=batches)
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

    part = SplitPart(sweep, donors=networks)
    constants = {
        part.called(name): constant_answer(network, sweep)
        for name, network in networks.items()
        if isinstance(network, Network) and not drawn(network)
    }
    found = _Tallies([part], list(map(part.called, networks)), whole=not fitting, constants=constants)
    read_split(split, [part], found, fitting=fitting, batches=batches)
    source = sweep.data.test_fingerprint if split == "test" else ""
    return {name: found.own[part.called(name)].outcome(source) for name in networks}


def own_error(sweep: Sweep, own: Outcome | None = None) -> tuple[float, float]:
    """The top's own validation error, and that of answers drawn at random, or of one answer for all samples.

    ``own`` is what the top does, on all of the split by default.
    """
    top = sweep.top
    if own is None:
        own = own_outcomes({top.name: top}, sweep, "val", fitting=True)[top.name]
    level = sweep.data.task.chance(_width(top)) if own.chance is None else own.chance
    return own.error, own.error if level is None else level


def _width(network: Network) -> int:
    """How many outputs a network has at each place."""
    return network.output_shape[-1] if network.output_shape else 1


def constant_answer(network: Network, sweep: Sweep) -> Tensor:
    """The mean of what a network answers to validation samples, (...): one answer for all."""
    full, total, n = network.whole(sweep.device), torch.zeros(()), 0
    with torch.no_grad():
        for batch in sweep.data.few("val", CONSTANT, sweep.spec.batch_size):
            output = full(view_of(network, batch, sweep.device)).double().cpu()
            total, n = total + output.sum(0), n + len(output)
    return total / n


SweepResult = tuple[list[tuple[Outcome, Truth] | None], dict[str, Outcome]]


def final(parts: Sequence[SplitPart], kept: Unfinished | None = None, *, apart: bool = False) -> list[SweepResult]:
    """The test split, read in one pass: every stream with how near its activations are to genuine ones, and donors.

    Everything runs in the donors' own precision, whatever the fit used. A stream whose output holds NaN or infinity has
    failed; a donor that is no top, with such an output, is left out.

    Args:
        parts: of sweeps that see the same test samples; the tops are among the donors.
        kept: where the state is left while it grows, and at the end; a state of the same parts is taken up again.
        apart: each part takes sums of its own, so that its last digits do not depend on the other parts.

    Returns:
        Of each part (outcome, truth) of each stream, None where it has failed, and {name: outcome} of its donors.

    Raises:
        NonFiniteError: if a top's output holds NaN or infinity.
    """
    found, source = _Tallied(parts, kept, apart=apart), parts[0].sweep.data.test_fingerprint
    read_split("test", parts, found)
    found.leave()
    for stream in (stream for part in parts for stream in part.streams):
        stream.failed = found.lost.get(id(stream), "")
    own = {name: tally.outcome(source) for name, tally in found.own.items()}
    return [
        (
            [None if (o := found.outcome(s, source)) is None else (o, found.truth(s)) for s in part.streams],
            {name: own[held] for name in part.donors if (held := part.called(name)) in own},
        )
        for part in parts
    ]


def autocast(sweep: Sweep, *, cache: bool = True) -> torch.autocast:
    """bfloat16 where the spec asks for it, else nothing."""
    enabled = sweep.spec.precision == "bfloat16"
    return torch.autocast(sweep.device.type, torch.bfloat16, enabled=enabled, cache_enabled=cache)
