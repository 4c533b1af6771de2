"""What cells will take, known before anything is fitted.

Passes over the data, memory, and time from measured batches.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch

from ..data.data import Data
from ..engine.alone import FIRST, SAMPLE
from ..engine.controls.random import CALIBRATION
from ..engine.fit.closed import PER_CHANNEL, takes_all
from ..engine.fit.memory import activation_bytes, sample_bytes, way_bytes
from ..engine.fit.options import SOLVED, FitSpec
from ..engine.senders import NetworkSender, open_quick
from ..engine.tails import BYTES
from ..moments.moments import Moments
from ..network import Layer, Network, blueprint
from ..stitchers import family_of
from ..support.memory import readable
from ..support.words import counted, duration
from .plan import Cell, sweeps_of
from .sweeps.bench import Bench
from .sweeps.grouped import chunked, ends_of, family_bytes, readings


@dataclass
class Needs:
    """What is still to be done.

    Attributes:
        cells: planned in all.
        kept: those of them that the folder holds already.
        sweeps: groups of missing cells that are fitted side by side.
        parts: pieces that the memory budget cuts them into: the bottom runs once for each.
        samples: {split: samples that go through a network, or its tail}, an upper bound: a fit may stop early.
        steps: of optimisers, at most, where every fit has one start.
        memory: bytes that the stitches of one part hold, the largest.
        way: bytes that batches hold on their way through networks and tops beside them, at most; 0 where not counted.
        donors: bytes of the donors' weights.
        seconds: an estimate, on this machine, where every fit has one start; 0 where nothing is missing, or no batch
            was timed.
        forwards: {cell to be run: how many times a sample goes through its whole top, in parts of it}, an upper bound.
        held: the names of the kept cells.
        later_steps: of further starts, at most: those of a control that its first start may leave open.
        later_seconds: what they all would take beside.
    """

    cells: int
    kept: int = 0
    sweeps: int = 0
    parts: int = 0
    samples: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("fit", "val", "test"), 0))
    steps: int = 0
    memory: int = 0
    way: int = 0
    donors: int = 0
    seconds: float = 0.0
    forwards: dict[str, float] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    later_steps: int = 0
    later_seconds: float = 0.0

    def plain(self) -> dict[str, Any]:
        """The numbers, for other programs."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("forwards", "held")}

    def sentences(self) -> list[str]:
        """For a reader, one line each."""
        told = [
            f"{counted(self.cells, 'cell')}: {self.kept:,} kept already, {self.cells - self.kept:,} to run. Nothing "
            "was fitted or written."
        ]
        if self.kept == self.cells:
            return told
        return [
            *told,
            f"{self._passes}.",
            f"Memory: up to {readable(self.memory)} for the stitches of one part, beside {readable(self.donors)} of "
            f"donors' weights and {f'{readable(self.way)} of ' if self.way else ''}one batch's way through a top.",
            f"Time: {self._time} here, estimated from measured batches: opening networks and solving maps is not "
            "counted, and fits that stop early take less.",
        ]

    def line(self) -> str:
        """The same in one line, before the work begins."""
        kept = f" ({self.kept:,} kept already)" if self.kept else ""
        time = f"; {self._time} here" if self.seconds else ""
        return (
            f"To run: {counted(self.cells - self.kept, 'cell')}{kept} in {self._passes}; memory up to "
            f"{readable(self.memory + self.way)}, beside donors and data{time}."
        )

    @property
    def _passes(self) -> str:
        parts = "" if self.parts == self.sweeps else f", in {counted(self.parts, 'part')} as memory asks"
        read = ", ".join(f"{n:,} of {split}" for split, n in self.samples.items())
        more = f", and up to {self.later_steps:,} where a control starts again" if self.later_steps else ""
        steps = f"{counted(self.steps, 'step')} at most{more}"
        return f"{counted(self.sweeps, 'sweep')}{parts}: {steps}; samples that are read: {read}"

    @property
    def _time(self) -> str:
        likely, most = duration(self.seconds), duration(self.seconds + self.later_seconds)
        return f"about {likely}" if most == likely else f"about {likely}, up to {most}"


def needs_of(cells: Sequence[Cell], bench: Bench, kept: Collection[str] = (), *, timed: bool = True) -> Needs:
    """Count what the cells that are not ``kept`` will take; time a batch of each network unless not ``timed``.

    Nothing is written, nothing is drawn anew: a random control is taken to last as long as its donor.
    """
    missing = [cell for cell in cells if cell.hash not in kept]
    held = frozenset(cell.hash for cell in cells if cell.hash in kept)
    found, clock = Needs(len(cells), len(cells) - len(missing), held=held), _Clock(bench, timed)
    _add_donors(found, missing, bench, clock)
    for reading in readings(sweeps_of(missing), bench):
        family = reading.family
        sizes = [
            _add_group(found, group, bench, clock, together=family, reads=not at)
            for at, group in enumerate(reading.groups)
        ]
        if family:
            _add_forwards(found, reading.groups, bench, clock)
        if len(sizes) > 1:
            found.memory = max(found.memory, family_bytes(reading.groups, bench) if family else sum(sizes))
    return found


def _add_group(
    found: Needs, group: Sequence[Cell], bench: Bench, clock: _Clock, *, together: bool = False, reads: bool = True
) -> int:
    """What one sweep takes.

    Args:
        together: it is one of a family.
        reads: it is the first of those that read the test split together.

    Returns:
        The bytes that its largest part holds.
    """
    sender, top = ends_of(group, bench)
    parts = [(0, group)] if together else chunked(group, bench)
    found.sweeps += 1
    found.parts += len(parts)
    largest = max(size for size, _ in parts)
    found.memory = max(found.memory, largest)
    for size, part in parts:
        if not together or not found.way:
            found.way = max(found.way, clock.way(part, sender, top, size))
        _add(found, part, sender, top, bench, clock, together=together, reads=reads)
    return largest


def _add_donors(found: Needs, cells: Sequence[Cell], bench: Bench, clock: _Clock) -> None:
    """What is looked at of donors alone, and what random ones are calibrated on."""
    test, fit = bench.data.size("test"), bench.data.size("fit")
    names = {cell.config[side]["name"] for cell in cells for side in ("bottom", "top")} & set(bench.networks)
    drawn = {(*cell.sweep[:2], cell.sweep.seed) for cell in cells if (c := cell.sweep.control) is not None and c.draw}
    for name in sorted(names):
        found.donors += sum(p.numel() * p.element_size() for p in bench.networks[name].module.parameters())
        found.samples["test"] += min(FIRST, test)
        found.seconds += clock.forward(name) * (min(FIRST, test) + min(SAMPLE, fit))
    for _, name, _ in drawn:
        found.seconds += clock.forward(name) * min(CALIBRATION, fit)
    found.samples["fit"] += len(names) * min(SAMPLE, fit) + len(drawn) * min(CALIBRATION, fit)


def _add_forwards(found: Needs, family: Sequence[Sequence[Cell]], bench: Bench, clock: _Clock) -> None:
    """What the networks of a family take, each of which runs once over what all are solved from, and measured on."""
    fit, test = _fit_size(bench, family[0][0]), bench.data.size("test")
    names = sorted({name for group in family for name in (group[0].sweep.bottom, group[0].sweep.top)})
    found.seconds += sum(clock.forward(name) * (fit + test) for name in names)
    found.samples["fit"] += fit
    found.samples["test"] += test


def _add(
    found: Needs,
    cells: Sequence[Cell],
    sender: Network,
    top: Network,
    bench: Bench,
    clock: _Clock,
    *,
    together: bool = False,
    reads: bool = True,
) -> None:
    """What cells take that are fitted side by side: a tail each, and one forward of both networks.

    Args:
        together: the networks run with those of other sweeps, and are counted there.
        reads: the test split is read for these cells; not where it is read for others beside them, with the top's own
            forward.
    """
    spec, val, test, fit = bench.spec, bench.data.size("val"), bench.data.size("test"), _fit_size(bench, cells[0])
    batch = min(spec.batch_size, fit)
    seams = [(sender.layer(c.config["bottom"]["layer"]), top.layer(c.config["top"]["layer"]), c) for c in cells]
    sums = _summed(seams, fit, spec)
    once = max(sums.values())
    below_depth, above_depth = max(b.depth for b, _, _ in seams), max(a.depth for _, a, _ in seams)
    onward = clock.forward(top.name)
    forward = clock.forward(sender.name) if cells[0].sweep.bottom in bench.networks else 0.0  # drawn: none runs
    solved = sum(n * clock.product(below, above) for (below, above), n in sums.items())
    solved += 0.0 if together else once * (forward * below_depth + onward * above_depth)
    for start in range(max(cell.starts for cell in cells)):
        some = [seam for seam in seams if seam[2].starts > start]
        _add_start(found, some, bench, solved, forward * below_depth, onward, later=start > 0)
    for _, above, cell in seams:
        found.forwards[cell.hash] += (1 - above.depth) * test
        found.seconds += onward * (1 - above.depth) * test
    again = sum("unfreeze" in cell.config for cell in cells)  # each is trained by itself, through both networks
    tuning = again * (through_tail(spec.steps, batch, spec.eval_every, val, 0) + test)
    found.seconds += tuning * (forward + onward) + (bench.second is not None) * test * forward
    found.steps += again * spec.steps
    if not together:
        found.seconds += test * (forward + reads * onward)
        found.samples["fit"] += once
        found.samples["test"] += reads * test


def _add_start(
    found: Needs,
    seams: Sequence[tuple[Layer, Layer, Cell]],
    bench: Bench,
    solved: float,
    below: float,
    onward: float,
    *,
    later: bool,
) -> None:
    """What the fits of one start take.

    Args:
        solved: seconds that its sums take.
        below: seconds that a sample takes to the deepest seam.
        onward: seconds that a sample takes through the whole top.
        later: it is taken only where the starts before it leave open what a control is for.
    """
    spec, val = bench.spec, bench.data.size("val")
    batch = min(spec.batch_size, _fit_size(bench, seams[0][2]))
    looked_at = min(val, spec.look)
    stages = [_stages(cell) for _, _, cell in seams]
    looks, steps = 1 + spec.steps // spec.eval_every, max(stages) * spec.steps
    seconds = solved + (steps * batch + bool(steps) * looked_at) * below
    for (_, above, cell), stage in zip(seams, stages, strict=True):
        forwards = (1 - above.depth) * stage * through_tail(spec.steps, batch, spec.eval_every, looked_at, 0)
        seconds += onward * forwards
        if stage and not cell.config["objective"].endswith("task"):
            seconds += stage * spec.steps * batch * onward  # genuine activations or outputs to come near to
        if not later:
            found.forwards[cell.hash] = forwards
    if later:
        found.later_steps += sum(stages) * spec.steps
        found.later_seconds += seconds
        return
    found.seconds += seconds
    found.steps += sum(stages) * spec.steps
    found.samples["fit"] += steps * batch
    found.samples["val"] += max(stages) * (looks * looked_at + 2 * (val - looked_at))


def _fit_size(bench: Bench, cell: Cell) -> int:
    """Of how many samples a cell is fitted."""
    whole = bench.data.size("fit")
    return min(cell.sweep.samples or whole, cell.sweep.budget or whole, whole)


def _summed(seams: Sequence[tuple[Layer, Layer, Cell]], fit: int, spec: FitSpec) -> dict[tuple[Layer, Layer], int]:
    """Of how many samples the sums of each seam are taken: all for a closed form, some for a start."""
    found: dict[tuple[Layer, Layer], int] = {}
    for below, above, cell in seams:
        few = min(fit, max(spec.start_samples, PER_CHANNEL * max(below.channels, above.channels)))
        enough = fit if takes_all(cell.config["objective"], family_of(cell.config["family"])[0]) else few
        found[below, above] = max(enough, found.get((below, above), 0))
    return found


def _stages(cell: Cell) -> int:
    """How many fits follow one upon the other in one start of a cell."""
    objective = cell.config["objective"]
    return 0 if objective in SOLVED else objective.count("+") + 1


WAYS = 256
_ways: dict[
    Any, int
] = {}  # the last ones that were looked at: of networks that differ in their weights alone it is one


class _Clock:
    """Seconds of a sample, each measured once; 0 where nothing is to be timed."""

    def __init__(self, bench: Bench, timed: bool) -> None:
        self._bench, self._timed = bench, timed
        self._forwards: dict[str, float] = {}
        self._products: dict[tuple[int, int, int], float] = {}
        self._blueprints: dict[str, str] = {}

    def forward(self, name: str) -> float:
        """Of the whole network."""
        if not self._timed:
            return 0.0
        if name not in self._forwards:
            bench = self._bench
            self._forwards[name] = forward_seconds(bench.networks[name], bench.data, bench.spec, bench.device)
        return self._forwards[name]

    def product(self, below: Layer, above: Layer) -> float:
        """Of the sums of a seam."""
        if not self._timed:
            return 0.0
        key = below.channels, above.channels, math.prod(above.positions)
        if key not in self._products:
            self._products[key] = product_seconds(below, above, self._bench.device)
        return self._products[key]

    def way(self, cells: Sequence[Cell], sender: Network, top: Network, held: int) -> int:
        """Bytes that batches hold beside what is counted for the cells; 0 where nobody can tell."""
        if not self._timed:
            return 0
        bench = self._bench
        seams = tuple((c.config["bottom"]["layer"], c.config["top"]["layer"]) for c in cells)
        stepped = [seam for seam, cell in zip(seams, cells) if _stages(cell)]
        spec, val = bench.spec, bench.data.size("val")
        most_kept = min(spec.look, val) * sum(sample_bytes(sender.layer(low)) for low in {low for low, _ in seams})
        spare = max(0, min(bench.memory - held, max(BYTES, most_kept)))  # more would change nothing
        shapes = self._blueprint(sender), self._blueprint(top), seams, len(stepped)
        key = *shapes, spec.batch_size, spec.look, val, spare
        if key not in _ways:
            counted = sum(
                activation_bytes(sender.layer(low), top.layer(high), spec.batch_size) for low, high in stepped
            )
            most = way_bytes(seams, sender, top, spec, val=val, spare=spare, steps=bool(stepped))
            if len(_ways) == WAYS:
                del _ways[next(iter(_ways))]
            _ways[key] = max(0, (most or 0) - counted)
        return _ways[key]

    def _blueprint(self, network: Network) -> str:
        if network.name not in self._blueprints:
            self._blueprints[network.name] = blueprint(network)
        return self._blueprints[network.name]


WARM, TIMED = 1, 2  # batches: to warm up, and measured
ROWS = 4096  # of a measured product


def forward_seconds(network: Network, data: Data, spec: FitSpec, device: torch.device) -> float:
    """Seconds that one fit sample takes: to be read, and to go through the whole network."""
    layer = network.cuts[-1]
    send = open_quick(NetworkSender(network), [layer], device)
    size = min(spec.batch_size, data.size("fit"))
    some = data.subset(data.size("fit") // size * size if data.size("fit") < 3 * size else 3 * size)
    augment = spec.augment and data.augment is not None
    marks = [_now(device)]
    with torch.no_grad():
        while len(marks) <= WARM + TIMED:
            for batch in some.batches("fit", size, seed=0, augment=augment):
                send(batch)
                marks.append(_now(device))
    return (marks[WARM + TIMED] - marks[WARM]) / (TIMED * size * (network.layer(layer).depth or 1.0))


def product_seconds(below: Layer, above: Layer, device: torch.device) -> float:
    """Seconds that the sums of one sample of a seam take."""
    sums = Moments.empty(below.channels, above.channels, device=device)
    marks = []
    for _ in range(1 + WARM):
        x, y = torch.randn(ROWS, below.channels, device=device), torch.randn(ROWS, above.channels, device=device)
        marks = [_now(device)]
        sums.update(x, y)
        marks.append(_now(device))
    return (marks[1] - marks[0]) / ROWS * math.prod(above.positions)


def through_tail(steps: int, batch: int, eval_every: int, val: int, test: int) -> float:
    """Forwards of one sample through a frozen tail that a fit of so many steps takes.

    Its steps, looks at validation, the test.

    A step is two forwards: to the output, and back to the map; none goes to the weights.
    """
    return 2 * steps * batch + (1 + steps // eval_every) * val + test


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
