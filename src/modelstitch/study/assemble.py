"""From a measured stitch to its record: every metric with its unit, what to know of it, and where it comes from."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..engine.controls import CONTROLS
from ..engine.evaluate import Truth
from ..engine.measure import Estimate, Outcome, agreement, chance_agreement, penalty, perplexities
from ..engine.streams import Stream
from ..errors import NonFiniteError
from ..stats.chance import chance_error
from .answers import pack, pack_answers
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
        "correct": packed["stitched"] if outcome.unit == "points" else "",
        "examples": {**packed, "answers": answers},
    }


@dataclass(frozen=True)
class Beside:
    """What the stitches of a sweep stand beside.

    Attributes:
        own, below: what the top and the bottom do alone; None where the bottom has other classes, or is no network.
        classes: how many there are to choose from.
        donors: what is known of the donors, by name, beside what the cells' names depend on.
        provenance: of each record.
    """

    own: Outcome
    below: Outcome | None
    classes: int
    donors: Mapping[str, DonorFacts]
    provenance: Mapping[str, Any]


def make_record(
    cell: Cell,
    stream: Stream,
    result: tuple[Outcome, Truth] | None,
    second: tuple[Outcome, Outcome] | None,
    beside: Beside,
) -> Record:
    """The record of a cell.

    Args:
        result: what the stitch did on the test split; None where there is nothing to measure.
        second: what the stitch and the top do on a second test set, if there is one.

    Raises:
        NonFiniteError: naming the metric that is not finite.
    """
    parts: dict[str, Any] = {"notes": (*stream.notes, f"failed: {stream.failed}")}
    if result is not None:
        estimates = _estimates(stream, *result, second, beside)
        notes = _notes(cell, stream, result[0], near=estimates.keys() >= {"relative_mse", "ood", "cka"})
        parts = {"notes": notes, **kept(estimates, result[0], beside.own, beside.below)}
    return Record(
        cell.hash,
        copy.deepcopy(cell.config),
        history=tuple(tuple(entry) for entry in stream.history),
        provenance=beside.provenance,
        donors=beside.donors,
        **parts,
    )


def _estimates(
    stream: Stream, outcome: Outcome, truth: Truth, second: tuple[Outcome, Outcome] | None, beside: Beside
) -> dict[str, Estimate]:
    """All that was measured, by name."""
    own, below, unit = beside.own, beside.below, "percent" if outcome.unit == "points" else outcome.unit
    found = {
        **beside_top(outcome, own, beside.classes),
        "parameters": Estimate(float(_parameters(stream))),
        "steps": Estimate(float(stream.steps)),
    }
    near = {
        "rate": (stream.rate, ""),
        "relative_mse": (truth.relative_mse, ""),
        "r2": (None if truth.relative_mse is None else 1.0 - truth.relative_mse, ""),
        "ood": (truth.ood, "ratio"),
        "ood_share": (truth.ood_share, "percent"),
        "cka": (truth.cka, ""),
    }
    found |= {name: Estimate(value, unit=of) for name, (value, of) in near.items() if value is not None}
    if below is not None and len(below.answers) == len(outcome.answers):
        found["agreement_bottom"] = agreement(outcome, below)
    if below is not None:
        found["bottom_error"] = Estimate(below.error, unit=unit)
    if second is not None:
        found["second_penalty"] = penalty(*second)
        found["second_error"], found["second_top_error"] = (Estimate(o.error, unit=unit) for o in second)
    for name, e in found.items():
        if not all(v is None or math.isfinite(v) for v in (e.value, e.low, e.high)):
            raise NonFiniteError(f"The metric {name} at {stream.bottom_layer} -> {stream.top_layer} is not finite.")
    return found


def _notes(cell: Cell, stream: Stream, outcome: Outcome, *, near: bool) -> tuple[str, ...]:
    """What is to be known of a stitch; ``near``: how near its activations are to genuine ones was measured."""
    notes = list(stream.notes)
    if not near:
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
    return tuple(notes)


def _parameters(stream: Stream) -> int:
    count = getattr(stream.stitcher, "parameter_count", None)
    if count is not None:
        return int(count)
    assert stream.stitcher is not None
    return sum(p.numel() for p in stream.stitcher.parameters())
