"""Cells of sweeps that were fitted, measured in one read of the test split, and made into records."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from ...data.batch import Batch
from ...data.data import SPLITS, Data
from ...engine.alone import MATCHED, Alone, level, notes_on
from ...engine.controls import CONTROLS
from ...engine.evaluate import SplitPart, SweepResult, final, own_outcomes
from ...engine.fit.memory import attempt
from ...engine.fit.options import SOLVED
from ...engine.fit.tune import RATE, told_of, tuned
from ...engine.joined import Joined
from ...engine.measure import Estimate, Outcome, agreement, chance_agreement, numbers, penalty
from ...engine.senders import Sender, view_of
from ...engine.sweep import Stream, Sweep
from ...engine.truth import Truth, TruthOfOne
from ...errors import FitError, NonFiniteError
from ...network import Network
from ...records.answers import pack, pack_answers, pack_tokens
from ...records.record import DonorFacts, Metric, Record
from ...support.resume import Pieces, Unfinished
from ...support.version import provenance
from ...support.words import counted
from ..plan import Cell
from .bench import Bench


@dataclass
class SweepJob:
    """Cells of one sweep on their way to records.

    Attributes:
        sweep: as it is fitted.
        streams: one for each cell, once they are fitted.
        below: the network whose own outcome stands beside; None where it has other classes, or there is none.
        seconds: that fitting took, earlier runs included.
    """

    cells: Sequence[Cell]
    donors: Sequence[Alone]
    sweep: Sweep
    below: Network | None
    streams: list[Stream] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class Fitted:
    """A cell's record, the stream that was fitted for it, and the BatchNorm statistics it was measured with.

    ``statistics`` is empty where they are the donors'; else "bottom.<module>.mean", "top.<module>.var" and so on.
    """

    record: Record
    stream: Stream
    statistics: dict[str, Tensor]


def measure(
    jobs: Sequence[SweepJob], bench: Bench, pieces: Pieces | None = None, *, apart: bool = True
) -> list[Fitted]:
    """Read the test split once for all jobs, and make their records.

    Args:
        pieces: where the state is left.
        apart: no digit of a job depends on the others; else their sums are taken together, which is quicker.
    """
    started = time.monotonic()

    def kept(name: str) -> Unfinished | None:
        return None if pieces is None else pieces.piece(name)

    def parts(smaller: Sweep, second: Data | None = None) -> list[SplitPart]:
        found = []
        for job in jobs:
            sweep = replace(job.sweep, spec=smaller.spec)
            donors = {sweep.top.name: sweep.top}
            if second is not None:
                sweep = replace(sweep, data=second.judged_by(sweep.data.task), tick=None)
            elif job.below is not None and (pieces is not None or _beside(job, job.below.name) not in bench.own):
                donors[job.below.name] = job.below
            found.append(SplitPart(sweep, job.streams, donors))
        return found

    measured, last = attempt(lambda s: final(parts(s), kept("test"), apart=apart), jobs[0].sweep)
    for job, (_, seen) in zip(jobs, measured):
        bench.own |= {_beside(job, name): outcome for name, outcome in seen.items()}
    again: Sequence[SweepResult | None] = [None] * len(jobs)
    if bench.second is not None:
        again, _ = attempt(lambda s: final(parts(s, bench.second), kept("second"), apart=apart), last)
    before = 0.0 if pieces is None else pieces.before
    each = (time.monotonic() - started + before) / sum(len(job.cells) for job in jobs)
    made = provenance(bench.device)
    return [
        fitted
        for job, (results, _), other in zip(jobs, measured, again)
        for fitted in _records(
            job,
            bench,
            results,
            other,
            {job.sweep.spec.batch_size, last.spec.batch_size},
            {**made, "seconds": round(each + job.seconds / len(job.cells), 3)},
        )
    ]


def _beside(job: SweepJob, name: str) -> str:
    """What the own outcome of a donor is known by: what is held against a top's own outputs is that top's alone."""
    return SplitPart(job.sweep).called(name)


def _records(
    job: SweepJob,
    bench: Bench,
    results: Sequence[tuple[Outcome, Truth] | None],
    other: SweepResult | None,
    used: set[int],
    made: Mapping[str, Any],
) -> Iterator[Fitted]:
    """The records of a job.

    Args:
        results: what its stitches did on the test split.
        other: what they, and the top, did on a second test set.
        used: the batch sizes of fitting and measuring.
        made: the provenance of each record.
    """
    top, data = job.sweep.top, job.sweep.data
    results = [
        _tuned(cell, stream, job.sweep, bench) if result is not None and "unfreeze" in cell.config else result
        for cell, stream, result in zip(job.cells, job.streams, results, strict=True)
    ]
    _note(job, bench, used)
    beside = Beside(
        bench.own[top.name],
        None if job.below is None else bench.own.get(_beside(job, job.below.name)),
        level(data, bench.looked[top.name].outcome),
        {donor.name: bench.known(donor).facts for donor in job.donors},
        made,
    )
    for at, (cell, stream, result) in enumerate(zip(job.cells, job.streams, results, strict=True)):
        again = None if other is None else other[0][at]
        second = None if other is None or again is None else (again[0], other[1][top.name])
        yield Fitted(make_record(cell, stream, result, second, beside), stream, _statistics(job.sweep.sender, stream))


def _note(job: SweepJob, bench: Bench, sizes: set[int]) -> None:
    """Note what a reader of the records has to know; ``sizes`` are the batch sizes of fitting and measuring."""
    top, data, shared = job.sweep.top, job.sweep.data, job.cells[0].sweep
    asked, anchors = shared.samples, shared.anchors
    used = MATCHED if anchors is None else ("test",)  # no label of an anchor is read
    of_top = {solved: notes_on(top, bench.own[top.name], data, used if solved else SPLITS) for solved in (True, False)}
    notes = [caution for donor in job.donors for caution in donor.cautions]
    if anchors is not None:
        notes.append(f"{counted(data.size('fit'), 'anchor')}, {'by id' if isinstance(anchors, tuple) else anchors}")
    if asked is not None and asked > (there := data.size("fit")):
        notes.append(f"{there} fit samples instead of {asked}: there are no more")
    for size in sizes - {bench.spec.batch_size}:
        notes.append(f"batch size {size} instead of {bench.spec.batch_size}: memory ran out")
    for cell, stream in zip(job.cells, job.streams, strict=True):
        stream.notes += [*of_top[cell.config["objective"] in SOLVED], *notes]


def _statistics(sender: Sender, stream: Stream) -> dict[str, Tensor]:
    return {
        f"{side}.{name}.{key}": getattr(norm, key).cpu()
        for side, norms in (("bottom", sender.norms), ("top", stream.norms))
        for name, norm in norms.items()
        for key in ("mean", "var")
    }


def _tuned(cell: Cell, stream: Stream, sweep: Sweep, bench: Bench) -> tuple[Outcome, Truth] | None:
    """Train a stitch further as it is asked for, and measure it; None where that fails."""
    below, top, unfreeze, name = bench.below(cell), sweep.top, str(cell.config["unfreeze"]), f"the stitch {stream}"
    assert below is not None
    assert stream.stitcher is not None
    parts = below.bottom(stream.bottom_layer), stream.adapter, stream.stitcher, top.top(stream.top_layer)
    model = Joined().joined(*parts).to(sweep.device)
    spec = sweep.spec.model_copy(update={"learning_rate": RATE})
    stream.notes.append(told_of(unfreeze))
    genuine, truth = top.bottom(stream.top_layer).to(sweep.device), TruthOfOne(stream)

    def answer(batch: Batch) -> Tensor:
        above = view_of(top, batch, sweep.device)
        stitched = made.at_seam(view_of(below, batch, sweep.device), batch.mask)
        truth.add(stitched, genuine(above), batch.mask)
        return made.onward(stitched, above)

    try:
        made, history = tuned(model, (below, top), sweep.data, unfreeze, spec, seed=sweep.seed, name=name)
        outcome = own_outcomes({name: answer}, sweep, "test")[name]
    except (FitError, NonFiniteError) as error:
        stream.failed = str(error)
        return None
    stream.history += history
    return outcome, truth.of()


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
