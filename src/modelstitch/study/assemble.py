"""From a measured stitch to its record: every metric with its unit, what to know of it, and where it comes from."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch

from ..engine.controls import CONTROLS
from ..engine.evaluate import Truth
from ..engine.measure import Estimate, Outcome, agreement, chance_agreement, penalty, perplexities
from ..engine.streams import Stream
from ..errors import NonFiniteError
from ..stats.chance import chance_error
from ..support.provenance import provenance
from .answers import pack_answers
from .packed import pack
from .plan import Cell
from .record import DonorFacts, Metric, Record


def beside_top(outcome: Outcome, own: Outcome, classes: int) -> dict[str, Estimate]:
    """What a stitched model's answers are worth beside those of its top alone."""
    points = outcome.unit == "points"
    unit = "percent" if points else outcome.unit
    return {
        "penalty": penalty(outcome, own),
        "error": Estimate(outcome.error, unit=unit),
        "top_error": Estimate(own.error, unit=unit),
        "loss": Estimate(outcome.loss, unit="nats" if points else outcome.unit),
        **({"chance_error": Estimate(chance_error(classes), unit=unit)} if points else perplexities(outcome, own)),
        "agreement_top": agreement(outcome, own),
        "agreement_chance": chance_agreement(outcome, own),
    }


def kept(
    estimates: Mapping[str, Estimate], outcome: Outcome, own: Outcome, below: Outcome | None = None
) -> dict[str, Any]:
    """The parts of a record that hold what was measured: the metrics, and the examples and answers behind them."""
    sides = {"stitched": outcome, "top": own, **({} if below is None else {"bottom": below})}
    labels = None if outcome.labels is None else outcome.labels.numpy()
    answers = pack_answers(labels, {n: o.predictions.numpy() for n, o in sides.items()}, outcome.losses.numpy())
    packed = pack(outcome.errors.numpy(), own.errors.numpy(), outcome.weights.numpy(), outcome.unit, outcome.source)
    return {
        "metrics": tuple(Metric(name, e.value, e.low, e.high, e.unit) for name, e in estimates.items()),
        "correct": outcome.packed(),
        "examples": {**packed, "answers": answers},
    }


def make_record(
    cell: Cell,
    stream: Stream,
    outcome: Outcome,
    truth: Truth,
    own: Outcome,
    below: Outcome | None,
    device: torch.device,
    seconds: float,
    classes: int,
    donors: Mapping[str, DonorFacts],
    second: tuple[Outcome, Outcome] | None = None,
) -> Record:
    """The record of a cell.

    Args:
        outcome, truth: what the stitch did on the test split.
        classes: how many there are to choose from.
        donors: what is known of the donors, by name, beside what the cell's name depends on.
        second: what the stitch and the top do on a second test set, if there is one.
        own, below: what the top and the bottom do there alone; class noise has no bottom.

    Raises:
        NonFiniteError: naming the metric that is not finite.
    """
    assert stream.stitcher is not None
    error_unit = "percent" if outcome.unit == "points" else outcome.unit
    estimates = {
        **beside_top(outcome, own, classes),
        "parameters": Estimate(float(_parameters(stream))),
        "steps": Estimate(float(stream.steps)),
    }
    if stream.rate is not None:
        estimates["rate"] = Estimate(stream.rate)
    near = {
        "relative_mse": (truth.relative_mse, ""),
        "r2": (None if truth.relative_mse is None else 1.0 - truth.relative_mse, ""),
        "ood": (truth.ood, "ratio"),
        "ood_share": (truth.ood_share, "percent"),
        "cka": (truth.cka, ""),
    }
    estimates |= {name: Estimate(value, unit=unit) for name, (value, unit) in near.items() if value is not None}
    if below is not None and len(below.answers) == len(outcome.answers):
        estimates["agreement_bottom"] = agreement(outcome, below)
    if below is not None:
        estimates["bottom_error"] = Estimate(below.error, unit=error_unit)
    if second is not None:
        estimates["second_penalty"] = penalty(*second)
        estimates["second_error"], estimates["second_top_error"] = (Estimate(o.error, unit=error_unit) for o in second)
    for name, e in estimates.items():
        if not all(v is None or math.isfinite(v) for v in (e.value, e.low, e.high)):
            raise NonFiniteError(f"The metric {name} at {stream.bottom_layer} -> {stream.top_layer} is not finite.")
    notes = list(stream.notes)
    if any(value is None for value, _ in near.values()):
        notes.append("the top's own activations do not vary over the test examples: no distance to them")
    if len(outcome.ids) == 1:
        notes.append("one test example: no interval")
    if stream.adapter.describe() != "none":
        notes.append(f"adapter: {stream.adapter.describe()}")
    control = CONTROLS.get(cell.config["control"])
    if control is not None and control.note:
        notes.append(control.note)
    if stream.history:
        notes.append(f"stopped: {stream.stopped}")
    return Record(
        cell.hash,
        copy.deepcopy(cell.config),
        **kept(estimates, outcome, own, below),
        history=tuple(tuple(entry) for entry in stream.history),
        notes=tuple(notes),
        provenance={**provenance(device), "seconds": round(seconds, 3)},
        donors=donors,
    )


def failed_record(
    cell: Cell, stream: Stream, device: torch.device, seconds: float, donors: Mapping[str, DonorFacts]
) -> Record:
    """The record of a cell that has nothing to measure, and why."""
    return Record(
        cell.hash,
        copy.deepcopy(cell.config),
        history=tuple(tuple(entry) for entry in stream.history),
        notes=(*stream.notes, f"failed: {stream.failed}"),
        provenance={**provenance(device), "seconds": round(seconds, 3)},
        donors=donors,
    )


def _parameters(stream: Stream) -> int:
    count = getattr(stream.stitcher, "parameter_count", None)
    if count is not None:
        return int(count)
    assert stream.stitcher is not None
    return sum(p.numel() for p in stream.stitcher.parameters())
