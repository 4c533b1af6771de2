"""Cells that are fitted and measured together, on their way from a bench to records; some are trained further."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from ...data.batch import Batch
from ...data.data import SPLITS, Data
from ...data.tasks import Task
from ...engine.alone import MATCHED, Alone, level, notes_on
from ...engine.evaluate import SplitPart, SweepResult, final, own_outcomes
from ...engine.fit.memory import attempt
from ...engine.fit.objectives import stages
from ...engine.fit.options import MATCH, SOLVED
from ...engine.fit.tune import RATE, told_of, tuned
from ...engine.joined import Joined
from ...engine.measure import Outcome
from ...engine.senders import NetworkSender, Sender, view_of
from ...engine.sweep import Stream, Sweep, Tick, Watch, open_stream
from ...engine.truth import Truth, TruthOfOne
from ...errors import FitError, NonFiniteError, ShapeError, StudyError
from ...network import Network
from ...records.record import Record
from ...stats.chance import FAR
from ...stitchers import family_of
from ...support.resume import Pieces, Unfinished
from ...support.version import provenance
from ...support.words import counted
from ..plan import Cell, Shared, title_of
from .bench import Bench
from .measured import Beside, facts, make_record


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


def job_of(cells: Sequence[Cell], bench: Bench, tick: Tick, spare: int, start: int = 0) -> SweepJob:
    """The cells of one sweep with all that fitting them from a start takes; nothing is fitted yet."""
    shared, top, below = cells[0].sweep, bench.networks[cells[0].sweep.top], bench.below(cells[0])
    donors, data = bench.donors(cells[0]), bench.drawn(shared)
    begun = Sweep(
        NetworkSender(top),
        top,
        data,
        bench.spec_of(shared),
        bench.device,
        seed=shared.seed,
        shuffled=shared.control is not None and shared.control.shuffled,
        normalisation=shared.normalisation,
        spare=spare,
        own=bench.losses,
        tick=tick,
        watch=_watching(cells, bench, start),
        enough=_enough(shared, data.task),
    )
    return SweepJob(cells, donors, begun, below if below is not None and _same_task(below, top, data.task) else None)


def _watching(cells: Sequence[Cell], bench: Bench, start: int) -> Watch | None:
    """The listener of looks, who knows stitches by the names that their events have, and later starts by theirs."""
    hear, more = bench.watch, f", start {start + 1}" if start else ""
    titles = {cell.hash: f"{title_of(cell.config)}{more}" for cell in cells}
    return None if hear is None else lambda cell, step, values: hear(titles[cell], step, values)


def open_cell(cell: Cell, sender: Sender, top: Network, bench: Bench) -> Stream:
    """The stream that is fitted for a cell.

    Raises:
        StudyError: the family has a closed form only, and another objective is asked for.
        ShapeError: nothing of the family leads from the bottom layer to the top one.
    """
    config = cell.config
    family, options = family_of(config["family"])
    objective = config["objective"]
    if objective != MATCH and not family.trainable:
        raise StudyError(
            f"The family {config['family']!r} is solved in closed form only: expected objective 'match', "
            f"found {objective!r}."
        )
    layer, task = config["top"]["layer"], bench.data.task
    later = tuple(
        dict.fromkeys(n for stage in stages(objective, top, layer, bench.spec, bench.losses, task) for n in stage.later)
    )
    try:
        return open_stream(
            cell.hash,
            sender,
            top,
            config["bottom"]["layer"],
            layer,
            family=family,
            options=options,
            objective=objective,
            init=config["init"],
            later=later,
            device=bench.device,
            own=config["normalisation"] != "frozen",
        )
    except ShapeError as error:
        raise ShapeError(f"{sender.name}@{config['bottom']['layer']} -> {top.name}@{layer}: {error}") from error


def measure(
    jobs: Sequence[SweepJob], bench: Bench, pieces: Pieces | None = None, *, apart: bool = True
) -> list[Fitted]:
    """Read the test split once for all jobs, and make their records.

    Args:
        pieces: where the state is left.
        apart: no digit of a job depends on the others; else their sums are taken together, which is quicker.
    """
    started, first = time.monotonic(), jobs[0].sweep

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

    measured, last = attempt(lambda s: final(parts(s), kept("test"), apart=apart), first)
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
    results = tuned_results(job.cells, job.streams, results, job.sweep, bench.below(job.cells[0]))
    _note(job, bench, used)
    beside = Beside(
        bench.own[top.name],
        None if job.below is None else bench.own.get(_beside(job, job.below.name)),
        level(data, bench.looked[top.name].outcome),
        facts([bench.known(donor) for donor in job.donors]),
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


def _enough(shared: Shared, task: Task) -> tuple[float, float] | None:
    """When a control has said what it is for, as ``Sweep`` has it."""
    far, control = FAR.get(task.unit.partition(" ")[0]), shared.control
    return None if control is None or control.settled is None or far is None else (far, control.settled)


def _same_task(below: Network, top: Network, task: Task) -> bool:
    """Whether the bottom network's own output can be held against the top's labels: it has as many classes.

    In embeddings without labels, and in a given gallery, it cannot: those lie in another network's space.
    """
    if task.foreign:
        return False
    if task.by_class or task.by_position:
        return below.output_shape[-1:] == top.output_shape[-1:]
    return below.output_shape == top.output_shape


def _statistics(sender: Sender, stream: Stream) -> dict[str, Tensor]:
    return {
        f"{side}.{name}.{key}": getattr(norm, key).cpu()
        for side, norms in (("bottom", sender.norms), ("top", stream.norms))
        for name, norm in norms.items()
        for key in ("mean", "var")
    }


def tuned_results(
    cells: Sequence[Cell],
    streams: Sequence[Stream],
    results: Sequence[tuple[Outcome, Truth] | None],
    sweep: Sweep,
    below: Network | None,
) -> list[tuple[Outcome, Truth] | None]:
    """What the stitches do on the test split, those that are to be tuned after it.

    Args:
        cells: of one sweep.
        streams: fitted; what is tuned is said in their notes and history.
        results: as they were measured.
        sweep: that they are of.
        below: the network that sends.

    Returns:
        The results; None where there is nothing to measure.
    """
    found = list(results)
    for at, (cell, stream) in enumerate(zip(cells, streams, strict=True)):
        unfreeze = cell.config.get("unfreeze")
        if unfreeze is not None and found[at] is not None and below is not None:
            found[at] = _tuned(stream, str(unfreeze), sweep, below)
    return found


def _tuned(stream: Stream, unfreeze: str, sweep: Sweep, below: Network) -> tuple[Outcome, Truth] | None:
    top, name = sweep.top, f"the stitch {stream}"
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
