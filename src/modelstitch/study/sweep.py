"""One sweep: all missing cells that share a bottom and a top, fitted and measured together, made into records."""

from __future__ import annotations

import copy
import math
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import torch

from .. import __version__
from ..controls.calibrate import calibrate
from ..controls.classnoise import NOISE, ClassNoise
from ..controls.random import reinitialise
from ..errors import NonFiniteError, ShapeError, StudyError
from ..fit.closed import collect, solve
from ..fit.evaluate import Truth, donor_outcome, final
from ..fit.loop import train
from ..fit.objectives import stages
from ..fit.options import FitSpec
from ..fit.senders import NetworkSender, Sender
from ..fit.streams import Stream, open_stream
from ..measure import Estimate, Outcome, agreement, penalty
from ..network import Network
from ..sources.data import Data
from ..stitchers import family_of
from .canonical import Record
from .plan import Cell

CALIBRATION = 1024
Tell = Callable[[str, int, int], None]  # what, done, of how many


@dataclass
class Bench:
    """The networks and data of a study, with what is worked out once: donors' own outcomes, random bottoms."""

    networks: dict[str, Network]
    data: Data
    spec: FitSpec
    device: torch.device
    _own: dict[str, Outcome] = field(default_factory=dict)
    _random: dict[tuple[str, int], Network] = field(default_factory=dict)

    def own(self, name: str) -> Outcome:
        """A donor's own outcome on the test split."""
        if name not in self._own:
            self._own[name] = donor_outcome(self.networks[name], self.data, "test", self.spec, self.device)
        return self._own[name]

    def random(self, name: str, seed: int) -> Network:
        """The donor's architecture, every parameter re-initialised, BatchNorm statistics estimated on the fit data."""
        if (name, seed) not in self._random:
            donor = self.networks[name]
            module = reinitialise(donor.module, seed)
            limit = min(CALIBRATION, self.data.size("fit"))
            calibrate(module, (donor.view(b.inputs) for b in self.data.batches("fit", 256, limit=limit)))
            self._random = {(name, seed): donor.replaced(module, f"{name} (random)")}
        return self._random[name, seed]


@dataclass
class Fitted:
    """A cell's record with the stream that was fitted for it."""

    record: Record
    stream: Stream


def run_sweep(cells: Sequence[Cell], bench: Bench, *, tell: Tell | None = None) -> list[Fitted]:
    """Fit and measure cells of one sweep key.

    Raises:
        StitchError: whatever is wrong with a seam, the data or the networks, in one sentence.
    """
    started = time.monotonic()
    first = cells[0].config
    kind, bottom, _, seed = cells[0].sweep
    top = bench.networks[first["top"]["name"]]
    sender = _sender(kind, bottom, top, seed, bench)
    streams = [_stream(cell, sender, top, bench) for cell in cells]
    total = _work(streams, bench)
    done = 0

    def tick(amount: int) -> None:
        nonlocal done
        done += amount
        if tell:
            tell(f"{sender.name} -> {top.name}", min(done, total), total)

    fit_seed = seed
    shuffled = kind == "shuffled"
    common: dict[str, Any] = {"device": bench.device, "seed": fit_seed, "shuffled": shuffled}
    moments = collect(streams, sender, top, bench.data, bench.spec, tick=tick, **common)
    solve(streams, moments, seed=seed)
    train(streams, moments, sender, top, bench.data, bench.spec, tick=tick, **common)
    measured = final(streams, moments, sender, top, bench.data, bench.spec, bench.device, tick=tick)
    seconds = (time.monotonic() - started) / len(cells)
    own = bench.own(top.name)
    below = bench.own(bottom) if kind == "plain" or kind == "shuffled" else None
    if kind == "random":
        below = donor_outcome(bench.random(bottom, seed), bench.data, "test", bench.spec, bench.device)
    return [
        Fitted(_record(cell, stream, outcome, truth, own, below, bench, seconds), stream)
        for cell, stream, (outcome, truth) in zip(cells, streams, measured)
    ]


def _sender(kind: str, bottom: str, top: Network, seed: int, bench: Bench) -> Sender:
    if kind == "class-noise":
        return ClassNoise(top, bench.data, seed=seed)
    return NetworkSender(bench.random(bottom, seed) if kind == "random" else bench.networks[bottom])


def _stream(cell: Cell, sender: Sender, top: Network, bench: Bench) -> Stream:
    config = cell.config
    family, options = family_of(config["family"])
    objective = config["objective"]
    if objective != "match" and not family.trainable:
        raise StudyError(
            f"The family {config['family']!r} is solved in closed form only: expected objective 'match', "
            f"found {objective!r}."
        )
    layer = config["top"]["layer"]
    later = tuple(dict.fromkeys(n for stage in stages(objective, top, layer, bench.spec) for n in stage.later))
    try:
        return open_stream(
            cell.hash, sender, top, config["bottom"]["layer"], layer,
            family=family, options=options, objective=objective, init=config["init"], later=later, device=bench.device,
        )  # fmt: skip
    except ShapeError as error:
        raise ShapeError(f"{sender.name}@{config['bottom']['layer']} -> {top.name}@{layer}: {error}") from error


def _work(streams: Sequence[Stream], bench: Bench) -> int:
    fit = min(bench.spec.samples or bench.data.size("fit"), bench.data.size("fit"))
    stages_most = max((s.objective.count("+") + 1 if s.objective != "match" else 0) for s in streams)
    return fit + bench.data.size("test") + stages_most * bench.spec.steps


def _record(
    cell: Cell,
    stream: Stream,
    outcome: Outcome,
    truth: Truth,
    own: Outcome,
    below: Outcome | None,
    bench: Bench,
    seconds: float,
) -> Record:
    assert stream.stitcher is not None
    error_unit = "percent" if outcome.unit == "points" else "nats"
    estimates: dict[str, Estimate] = {
        "penalty": penalty(outcome, own),
        "error": Estimate(outcome.error, unit=error_unit),
        "top_error": Estimate(own.error, unit=error_unit),
        "loss": Estimate(outcome.loss, unit="nats"),
        "relative_mse": Estimate(truth.relative_mse),
        "r2": Estimate(1.0 - truth.relative_mse),
        "ood": Estimate(truth.ood, unit="ratio"),
        "ood_share": Estimate(truth.ood_share, unit="percent"),
        "parameters": Estimate(float(_parameters(stream))),
        "steps": Estimate(float(stream.steps)),
    }
    if truth.cka is not None:
        estimates["cka"] = Estimate(truth.cka)
    if outcome.unit == "points":
        estimates["agreement_top"] = agreement(outcome, own)
        if below is not None:
            estimates["agreement_bottom"] = agreement(outcome, below)
    if below is not None:
        estimates["bottom_error"] = Estimate(below.error, unit=error_unit)
    for name, e in estimates.items():
        if not all(v is None or math.isfinite(v) for v in (e.value, e.low, e.high)):
            raise NonFiniteError(f"The metric {name} at {stream.bottom_layer} -> {stream.top_layer} is not finite.")
    notes = list(stream.notes)
    if stream.adapter.describe() != "none":
        notes.append(f"adapter: {stream.adapter.describe()}")
    if cell.config["control"] == "class-noise":
        notes.append(f"noise over signal: {NOISE:g}")
    if stream.history:
        notes.append(f"stopped: {stream.stopped}")
    return {
        "version": 1,
        "cell": cell.hash,
        "config": copy.deepcopy(cell.config),
        "metrics": [
            {"metric": name, "value": e.value, "low": e.low, "high": e.high, "unit": e.unit}
            for name, e in estimates.items()
        ],
        "correct": outcome.packed(),
        "history": [list(entry) for entry in stream.history],
        "notes": notes,
        "provenance": {**provenance(bench.device), "seconds": round(seconds, 3)},
    }


def _parameters(stream: Stream) -> int:
    count = getattr(stream.stitcher, "parameter_count", None)
    if count is not None:
        return int(count)
    assert stream.stitcher is not None
    return sum(p.numel() for p in stream.stitcher.parameters())


def provenance(device: torch.device) -> dict[str, Any]:
    """Versions, device, threads, platform and date."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "modelstitch": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": f"{device.type} ({name})",
        "threads": torch.get_num_threads(),
        "platform": platform.platform(terse=True),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }
