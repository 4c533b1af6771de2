"""What figures will take, before they are run.

Networks to train, stitches to fit, and the processor time of this machine.

Networks are untrained stand-ins, each with weights of its own, so that the plans are those of the run: cells that
figures share, and what the folder holds, count once. Time comes from training steps that are measured here and from
multiplications.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..api import plan_compare
from ..support.ahead import Ahead
from ..support.memory import readable
from ..support.words import counted, duration
from ..zoo.donors import Donor
from ..zoo.nets import build, format_net, parse_net
from ..zoo.selfsup import SelfRecipe
from ..zoo.train import Recipe, descend, endless, place
from .donors import DRAWN, Workshop
from .figure import Figure, Line, Model, Probe
from .job import Job
from .pieces import pieces
from .probes.retrained import shortened
from .protocols import PROTOCOLS
from .run import Asked, question
from .run import asked as asked_of

WARM, TIMED = 2, 3  # steps of training: to warm up, and measured
TRAININGS: Mapping[str, Callable[[Mapping[str, Any]], int]] = {  # of a probe
    "fine-tune": lambda options: 3,
    "freeze": lambda options: len(options["sets"]),
}


@dataclass(frozen=True)
class Training:
    """One training that is still to be done.

    Its steps, and multiplications of one step relative to one of the base network.
    """

    name: str
    method: str
    steps: int
    relative: float


@dataclass
class Forecast:
    """What is still to be done.

    Attributes:
        trainings: donors, and what probes train.
        stitches: protocol -> (cells, multiplications relative to training steps of the base network).
        kept: cells and networks that the folder holds already.
        step: processor seconds of a training step of the base network on this machine.
        figures: figure -> what it takes beside the figures before it, in training steps of the base network.
        memory: bytes that the stitches of one part hold, the largest.
    """

    trainings: list[Training] = field(default_factory=list)
    stitches: dict[str, tuple[int, float]] = field(default_factory=dict)
    kept: tuple[int, int] = (0, 0)
    step: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)
    memory: int = 0

    @property
    def steps(self) -> float:
        """All work, in training steps of the base network."""
        return sum(t.steps * t.relative for t in self.trainings) + sum(s for _, s in self.stitches.values())

    @property
    def seconds(self) -> float:
        """Of processor time, in all."""
        return self.steps * self.step

    @property
    def cells(self) -> int:
        """How many stitches are to be fitted."""
        return sum(cells for cells, _ in self.stitches.values())

    def sentences(self) -> list[str]:
        """For a reader."""
        lines = []
        for method in dict.fromkeys(t.method for t in self.trainings):
            some = [t for t in self.trainings if t.method == method]
            lines.append(f"{len(some)} trainings, {method}: {self._time(sum(t.steps * t.relative for t in some))}")
        for protocol, (cells, steps) in self.stitches.items():
            lines.append(f"{cells} stitches, {protocol} protocol: {self._time(steps)}")
        if len(self.figures) > 1:
            parts = ", ".join(f"{name} {self._time(steps)}" for name, steps in self.figures.items())
            lines.append(f"figure by figure, each beside those before it: {parts}")
        cells, networks = self.kept
        lines.append(f"kept already: {networks} networks, {cells} stitches. Nothing was trained, fitted or written.")
        lines.append(f"Memory: up to {readable(self.memory)} for stitches, beside the networks and one batch's way.")
        lines.append(
            f"Time: about {_of_processor(self.seconds)} in all, from {1e3 * self.step:.0f} ms a training step of the "
            "base network, measured here; similarities and paths between weights are not counted."
        )
        return lines

    def line(self) -> str:
        """The same in one line, before the work begins."""
        steps = sum(t.steps for t in self.trainings)
        return (
            f"To run: {counted(len(self.trainings), 'training')} of {counted(steps, 'step')} together, "
            f"{counted(self.cells, 'cell')}; memory up to {readable(self.memory)} for stitches; about "
            f"{_of_processor(self.seconds)} here."
        )

    def plain(self) -> dict[str, Any]:
        """The numbers, for other programs."""
        found = {"trainings": len(self.trainings), "cells": self.cells, "memory": self.memory}
        return {**found, "kept": sum(self.kept), "seconds": self.seconds}

    def _time(self, steps: float) -> str:
        return _of_processor(steps * self.step)


def _of_processor(seconds: float) -> str:
    number, unit = duration(seconds).split()
    return f"{number} processor {unit}"


def estimate_own(figures: Sequence[Figure], job: Job) -> Ahead:
    """What figures on given networks still take: nothing is trained, and time is that of the fits."""
    cells, kept, seconds, seen, samples, memory = set[str](), set[str](), 0.0, set[str](), 0, 0
    for figure in figures:
        for one in asked_of(figure, job):
            if isinstance(one.what, Line) and one.key not in seen:
                seen.add(one.key)
                asked = question(one.what, one.models, PROTOCOLS[one.protocol], job)
                needs = plan_compare(**asked, out=job.store, device=str(job.device))
                kept |= needs.held
                if needs.forwards.keys() - cells:
                    seconds, samples = seconds + needs.seconds, samples + sum(needs.samples.values())
                    memory = max(memory, needs.memory + needs.way)
                cells |= needs.forwards.keys()
    return Ahead(
        f"{len(cells) + len(kept)} stitches, {len(kept)} of them kept already; nothing is trained",
        f"{samples:,} samples that are read",
        memory,
        "the networks",
        seconds,
        "estimated from measured batches; similarities, matched matrices and paths between weights are not counted",
    )


def estimate(figures: Sequence[Figure], job: Job) -> Forecast:
    """Count what these figures still need in the job's folder, and time some training steps.

    Nothing is written, nothing is kept.
    """
    counting = replace(job, workshop=_StandIns(**{name: getattr(job.workshop, name) for name in _SHARED}))
    found, seen, kept_cells, kept_networks = Forecast(), set[str](), set[str](), 0
    one = _operations("base", job)
    for piece in pieces(figures, job):
        asked, before = piece.what, found.steps
        if isinstance(asked, Model) and asked.change not in DRAWN:
            if job.workshop.kept(asked):
                kept_networks += 1
            else:
                found.trainings.append(_training(asked, job.workshop.recipe(asked), job, one))
        elif isinstance(asked, Asked) and isinstance(asked.what, Line):
            kept_cells |= _stitched(asked.what, asked, found, seen, counting, one)
        elif isinstance(asked, Asked) and isinstance(asked.what, Probe):
            found.trainings += _probed(asked.what, asked.models, job, one)
        found.figures[piece.figure] = found.figures.get(piece.figure, 0.0) + found.steps - before
    found.kept = (len(kept_cells), kept_networks)
    found.step = _measured(job)
    return found


def _stitched(line: Line, asked: Asked, found: Forecast, seen: set[str], job: Job, one: float) -> frozenset[str]:
    """Count the stitches of a curve that no other curve before it has; return those that the folder holds."""
    (_, top), name = asked.models, asked.protocol
    needs = plan_compare(
        **question(line, asked.models, PROTOCOLS[name], job), out=job.store, device=str(job.device), timed=False
    )
    new = needs.forwards.keys() - seen
    seen |= new
    found.memory = max(found.memory, needs.memory)
    if new:
        steps = sum(needs.forwards[cell] for cell in new) / (3 * _base(job).batch_size)  # three forwards a sample
        cells, before = found.stitches.get(name, (0, 0.0))
        found.stitches[name] = (cells + len(new), before + steps * _operations(top.net, job) / one)
    return needs.held


def _training(model: Model, recipe: Recipe | SelfRecipe, job: Job, one: float) -> Training:
    base = recipe.base if isinstance(recipe, SelfRecipe) else recipe
    views = 2 if isinstance(recipe, SelfRecipe) and recipe.method != "rotation" else 1
    size = views * base.batch_size / _base(job).batch_size
    return Training(model.name, model.method, base.steps, size * _operations(model.net, job) / one)


def _base(job: Job) -> Recipe:
    recipe = job.workshop.recipe(Model())
    assert isinstance(recipe, Recipe)
    return recipe


def _probed(probe: Probe, models: tuple[Model, ...], job: Job, one: float) -> list[Training]:
    if probe.kind not in TRAININGS:
        return []
    recipe = shortened(probe, models[0], job)
    relative = _operations(models[0].net, job) / one
    return [
        Training(f"{probe.label} {i}", probe.kind, recipe.steps, relative)
        for i in range(TRAININGS[probe.kind](probe.options))
    ]


def _measured(job: Job) -> float:
    """Processor seconds of one training step of the base network, batch, precision and layout as the scale has them."""
    recipe = _base(job)
    module = build(_fitting("base", job.workshop)).to(job.device)
    module.train()
    marks: list[float] = []
    short = replace(recipe, steps=WARM + TIMED, checkpoints=())

    def loss_of(inputs: Any, labels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(module(inputs).float(), labels)

    def batches(first: int) -> Any:
        for batch in endless(job.workshop.data, short.batch_size, seed=0, augment=short.augment, first=first):
            yield place(batch.inputs, job.device, short.channels_last), batch.labels.to(job.device)

    def heard(done: int, loss: float) -> None:
        marks.append(time.perf_counter() if job.device.type == "cuda" else time.process_time())

    with torch.random.fork_rng(devices=[]):
        descend([module], loss_of, batches, short, device=job.device, progress=heard)
    return (marks[-1] - marks[WARM - 1]) / TIMED


_SHARED = ("scale", "data", "cache", "device", "checkpoints")


class _StandIns(Workshop):
    """Untrained networks, all different, in place of those that are not trained yet."""

    def _make(self, model: Model) -> Donor:
        if self.kept(replace(model, at=None)):
            return super()._make(model)
        net = _fitting(model.net, self)
        module = build(net, seed=model.seed)
        with torch.no_grad():
            next(module.parameters()).flatten()[0] = zlib.crc32(model.name.encode()) % 2**20
        return Donor(model.name, module.eval(), {"net": net, "identity": {"stand-in": model.name}})

    def _kept(self, model: Model, module: torch.nn.Module, make: Any) -> torch.nn.Module:
        """Nothing is drawn, nothing is written: a stand-in of its own."""
        return self._make(model).module


def _fitting(role: str, workshop: Workshop) -> str:
    """The network of a role, for the data."""
    name, options = parse_net(workshop.scale.net(role))
    channels = workshop.example.shape[1]
    return format_net(name, {"classes": workshop.data.n_classes, "in_channels": channels, **options})


def _operations(role: str, job: Job) -> float:
    """Multiplications of one forward pass."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        build(_fitting(role, job.workshop)).eval()(job.workshop.example)
    return float(counter.get_total_flops())
