"""What was measured of a stitch, made into the record of its cell."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...engine.alone import Alone
from ...engine.controls import CONTROLS
from ...engine.measure import Estimate, Outcome, agreement, chance_agreement, numbers, penalty
from ...engine.sweep import Stream
from ...engine.truth import Truth
from ...errors import NonFiniteError
from ...records.answers import pack, pack_answers, pack_tokens
from ...records.parts import DonorFacts, Metric
from ...records.record import Record
from ...support.version import provenance
from ..plan import Cell
from .bench import Bench


@dataclass(frozen=True)
class Beside:
    """What the stitches of a sweep stand beside.

    Attributes:
        own, below: what the top and the bottom do alone; None where the bottom has other classes, or is no network.
        chance: the error of answers drawn at random, or of one answer for all samples; None of texts.
        donors: what is known of the donors, by name, beside what the cells' names depend on.
        provenance: of each record.
    """

    own: Outcome
    below: Outcome | None
    chance: float | None
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


def unmeasured(cell: Cell, why: str, bench: Bench) -> Record:
    """The record of a cell for which there is nothing to measure."""
    return Record(cell.hash, copy.deepcopy(cell.config), notes=(f"failed: {why}",), provenance=provenance(bench.device))


def facts(donors: Sequence[Alone]) -> dict[str, DonorFacts]:
    """What records say of donors beside what cells are named by."""
    return {donor.name: DonorFacts(**donor.stated()) for donor in donors}


def beside_top(outcome: Outcome, own: Outcome, chance: float | None) -> dict[str, Estimate]:
    """What a stitched model's answers are worth beside those of its top alone, and the level of chance."""
    unit = outcome.error_unit
    agreements = (
        {}
        if outcome.answers is None or own.answers is None
        else {
            "agreement_top": agreement(outcome, own),
            "agreement_chance": chance_agreement(outcome, own),
        }
    )
    return {
        "penalty": penalty(outcome, own),
        "error": Estimate(outcome.error, unit=unit),
        "top_error": Estimate(own.error, unit=unit),
        "loss": Estimate(outcome.loss, unit=outcome.loss_unit),
        **({} if chance is None else {"chance_error": Estimate(chance, unit=unit)}),
        **({} if outcome.near is None else {"near": Estimate(outcome.near, unit=outcome.unit)}),
        **numbers(outcome, own),
        **agreements,
    }


def kept(
    estimates: Mapping[str, Estimate], outcome: Outcome, own: Outcome, below: Outcome | None = None
) -> dict[str, Any]:
    """The parts of a record that hold what was measured: the metrics, and the examples and answers behind them."""
    sides = {"stitched": outcome, "top": own, **({} if below is None else {"bottom": below})}
    labels = None if outcome.labels is None else outcome.labels.numpy()
    said = {name: o.predictions.numpy() for name, o in sides.items() if o.predictions is not None}
    answers = {"answers": pack_answers(labels, said, outcome.losses.numpy())} if "stitched" in said else {}
    if outcome.tokens is not None and answers:
        hits = {name: o.hits.numpy() for name, o in sides.items() if o.hits is not None}
        answers["answers"] |= {"tokens": pack_tokens(hits, outcome.tokens.numpy())}
    packed = pack(outcome.errors.numpy(), own.errors.numpy(), outcome.weights.numpy(), outcome.unit, outcome.source)
    return {
        "metrics": tuple(Metric(name, e.value, e.low, e.high, e.unit) for name, e in estimates.items()),
        "correct": packed["stitched"] if outcome.unit == "points" else "",
        "examples": {**packed, **answers},
    }


def _estimates(
    stream: Stream, outcome: Outcome, truth: Truth, second: tuple[Outcome, Outcome] | None, beside: Beside
) -> dict[str, Estimate]:
    """All that was measured, by name."""
    own, below, unit = beside.own, beside.below, outcome.error_unit
    found = {
        **beside_top(outcome, own, beside.chance),
        "parameters": Estimate(float(_parameters(stream))),
        "steps": Estimate(float(stream.steps)),
    }
    found |= _near(stream, truth)
    if below is not None:
        mine, others = outcome.answers, below.answers
        if mine is not None and others is not None and len(mine) == len(others):
            found["agreement_bottom"] = agreement(outcome, below)
        found["bottom_error"] = Estimate(below.error, unit=unit)
    if second is not None:
        found["second_penalty"] = penalty(*second)
        found["second_error"], found["second_top_error"] = (Estimate(o.error, unit=unit) for o in second)
    for name, e in found.items():
        if not all(v is None or math.isfinite(v) for v in (e.value, e.low, e.high)):
            raise NonFiniteError(f"The metric {name} at {stream.bottom_layer} -> {stream.top_layer} is not finite.")
    return found


def _near(stream: Stream, truth: Truth) -> dict[str, Estimate]:
    """How near stitched activations come to genuine ones, as far as it was measured."""
    found = {
        "rate": (stream.rate, ""),
        "relative_mse": (truth.relative_mse, ""),
        "r2": (None if truth.relative_mse is None else 1.0 - truth.relative_mse, ""),
        "ood": (truth.ood, "ratio"),
        "ood_share": (truth.ood_share, "percent"),
        "collapsed_share": (truth.collapsed_share, "percent"),
        "cka": (truth.cka, ""),
    }
    return {name: Estimate(value, unit=of) for name, (value, of) in found.items() if value is not None}


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
