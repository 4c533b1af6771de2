"""One sweep: all missing cells that share a bottom and a top, fitted and measured together, made into records."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data.data import SPLITS, Data
from ..data.tasks import Task
from ..engine.alone import MATCHED, Alone, level, look, need_scores, notes_on
from ..engine.anchors import choose
from ..engine.controls import CONTROLS
from ..engine.evaluate import SplitPart, SweepResult, final, own_outcomes
from ..engine.fit.closed import collect, collect_together, look_again, solve
from ..engine.fit.loop import fits, train
from ..engine.fit.memory import attempt, chunks, sample_bytes, stream_bytes
from ..engine.fit.normalisation import settle
from ..engine.fit.objectives import Loss, stages
from ..engine.fit.options import ANCHORS_BY, MATCH, OF_LOOKS, SOLVED, FitSpec
from ..engine.fit.sensitivity import weigh
from ..engine.measure import Estimate, Outcome, agreement, chance_agreement, numbers, penalty
from ..engine.senders import Company, NetworkSender, Sender
from ..engine.sweep import MEMORY, Stream, Sweep, Tick, Watch, derive, open_stream
from ..engine.truth import Truth
from ..errors import MeasureError, NetworkError, NonFiniteError, ShapeError, StudyError
from ..network import Layer, Network
from ..stats.chance import FAR
from ..stitchers import family_of
from ..support.progress import Tell
from ..support.provenance import provenance
from ..support.ranks import current
from ..support.resume import Pieces, Unfinished
from ..support.words import counted
from .answers import pack, pack_answers, pack_tokens
from .plan import Cell, Shared, sweeps_of
from .record import DonorFacts, Metric, Record, cell_hash
from .unfrozen import tuned_results


@dataclass
class Bench:
    """The networks and data of a study, with what is worked out once: donors' own outcomes, random bottoms.

    Attributes:
        networks: the donors by name.
        data: what to fit, choose and measure on.
        spec: how to fit.
        device: where.
        memory: bytes that the streams of a sweep may hold, beside the donors and one batch's way through the top; where
            they need more they run in several
            chunks.
        watch: hears of every look at the validation split.
        losses: the user's own losses by name.
        second: another test set to measure every stitch on.
        unfinished: a folder where sweeps leave their state every minute, and take it up again; None keeps none.
        sums: a folder where the sums of closed forms are left, too, and stay: other families need no pass.
        asked: all cells, also those that are recorded: families are made of these, so that a later run makes the same.
        failing: bottoms and tops that were looked at and gave no numbers, and why.
    """

    networks: dict[str, Network]
    data: Data
    spec: FitSpec
    device: torch.device
    memory: int = MEMORY
    watch: Watch | None = None
    second: Data | None = None
    losses: Mapping[str, Loss] = field(default_factory=dict)
    unfinished: Path | None = None
    sums: Path | None = None
    asked: Sequence[Cell] = ()
    own: dict[str, Outcome] = field(default_factory=dict)
    looked: dict[str, Alone] = field(default_factory=dict)
    few: bool = True
    failing: dict[tuple[str, str], str] = field(default_factory=dict)
    _drawn: dict[tuple[str, str, int], Network] = field(default_factory=dict)
    _chosen: dict[Any, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.data = self.data.on(self.device)

    def drawn(self, shared: Shared) -> Data:
        """The data with the fit samples that a sweep takes: of those within its budget as many as it asks for."""
        data = self.data.for_top(self.networks[shared.top], self.device)
        if shared.budget is not None and shared.budget < data.size("fit"):
            data = data.subset(shared.budget)
        if shared.samples is None:
            return data
        if shared.anchors is not None:
            return data.picked(self._anchors(data, shared))
        if shared.samples < data.size("fit"):
            data = data.subset(shared.samples, seed=derive(shared.seed, "samples"))
        return data

    def _anchors(self, data: Data, shared: Shared) -> Tensor:
        assert shared.samples is not None
        if isinstance(shared.anchors, tuple):
            return torch.tensor(shared.anchors)
        key = shared.top, shared.seed, shared.samples, shared.budget, shared.anchors
        if key not in self._chosen:
            top, how = self.networks[shared.top], str(shared.anchors)
            self._chosen[key] = choose(data, top, shared.samples, how, seed=shared.seed, device=self.device)
        return self._chosen[key]

    def spec_of(self, shared: Shared) -> FitSpec:
        """How the cells of a sweep are fitted: anchors are seen as they are."""
        return self.spec if shared.anchors is None else self.spec.model_copy(update={"augment": False})

    def alone(self, name: str, *, top: bool) -> Alone:
        """What a donor does alone, looked at once, before it is stitched.

        Raises:
            DataError, NonFiniteError: of a top whose output cannot be held against the labels.
        """
        if name not in self.looked or (top and self.looked[name].error is None):
            network = self.networks[name]
            if top:
                need_scores(network, self.data)
            begun = Sweep(NetworkSender(network), network, self.data, self.spec, self.device)
            found, _ = attempt(
                lambda s: look(network, s.data, s.device, top=top, batch_size=2 * s.spec.batch_size, few=self.few),
                begun,
            )
            self.looked[name] = found
            if found.outcome is not None and not found.part:
                self.own.setdefault(name, found.outcome)
        return self.looked[name]

    def known(self, donor: Alone) -> Alone:
        """A donor with its error on the whole test split: as it was read beside the stitches, or else read now."""
        if not donor.part:
            return donor
        if donor.name not in self.own:
            network = self.networks[donor.name]
            begun = Sweep(NetworkSender(network), network, self.data, self.spec, self.device)
            try:
                found, _ = attempt(lambda s: own_outcomes({donor.name: network}, s, "test"), begun)
            except NonFiniteError as error:
                return replace(
                    donor, error=None, fit_error=None, fit_samples=0, why=str(error).partition(":")[0], part=0
                )
            self.own |= found
        return replace(donor, error=self.own[donor.name].error, part=0)

    def donors(self, cell: Cell) -> list[Alone]:
        """What the two donors of a cell do alone; class noise has no bottom, and a donor may be both."""
        top, bottom = (cell.config[side]["name"] for side in ("top", "bottom"))
        below = [] if _no_network(cell) or bottom == top else [self.alone(bottom, top=False)]
        return [*below, self.alone(top, top=True)]

    def all_donors(self, cells: Sequence[Cell]) -> list[Alone]:
        """What all donors of the cells do alone, bottoms first.

        Of three networks or more one may fail: it is named in ``failing``, and the others stand.

        Raises:
            DataError, NetworkError, NonFiniteError: as ``alone``.
        """
        tops = dict.fromkeys(cell.config["top"]["name"] for cell in cells)
        bottoms = dict.fromkeys(cell.config["bottom"]["name"] for cell in cells if not _no_network(cell))
        found, names = [], dict.fromkeys([*bottoms, *tops])
        for name in names:
            for side in ("top", "bottom") if name in tops else ("bottom",):  # a bottom needs no output
                try:
                    found.append(self.alone(name, top=side == "top"))
                    break
                except (NetworkError, NonFiniteError) as error:
                    self.failing[side, name] = str(error)
                    if len(names) < 3 or all(("top", top) in self.failing for top in tops):
                        raise
        return found

    def fails(self, cell: Cell) -> str:
        """Why a cell is not run: what was found of its donors; empty where all is well."""
        ends = ((side, cell.config[side]["name"]) for side in ("bottom", "top"))
        return next((self.failing[end] for end in ends if end in self.failing), "")

    def below(self, cell: Cell) -> Network | None:
        """The network that sends in a cell; None where none does. Of those that are drawn the last one is kept."""
        shared, control = cell.sweep, cell.sweep.control
        if _no_network(cell):
            return None
        if control is None or control.draw is None:
            return self.networks[shared.bottom]
        key = shared.kind, shared.bottom, shared.seed
        if key not in self._drawn:
            self._drawn = {key: control.draw(self.networks[shared.bottom], self.data, shared.seed)}
        return self._drawn[key]


def _no_network(cell: Cell) -> bool:
    return cell.sweep.control is not None and cell.sweep.control.sender is not None


@dataclass
class Fitted:
    """A cell's record, the stream that was fitted for it, and the BatchNorm statistics it was measured with.

    ``statistics`` is empty where they are the donors'; else "bottom.<module>.mean", "top.<module>.var" and so on.
    """

    record: Record
    stream: Stream
    statistics: dict[str, Tensor]


def check_shared(cells: Sequence[Cell]) -> None:
    """Where processes share the work, refuse cells that they cannot share, and cells that are not the same on all.

    Raises:
        StitchError: something but closed forms between donors whose statistics stay as they are; another process
            failed, or was asked something else.
    """
    ranks = current()
    if ranks is None:
        return
    for cell in cells:
        for key, wanted in (("objective", "match"), ("normalisation", "frozen")):
            if cell.config[key] != wanted:
                raise StudyError(
                    f"Processes share the sums of closed forms alone: expected {key}={wanted!r}, found "
                    f"{cell.config[key]!r}; ask for the others in one process, or run shards of a study."
                )
    ranks.agree("comparison", [cell.hash for cell in cells])


@torch.inference_mode(False)
@torch.enable_grad()
def run_sweep(cells: Sequence[Cell], bench: Bench, *, tell: Tell | None = None) -> Iterator[Fitted]:
    """Fit and measure cells of one sweep key, in as many chunks as the memory budget asks for.

    Each is handed out when done.

    Gradients are there whatever mode the caller is in, who finds it unchanged.

    Raises:
        StitchError: whatever is wrong with a seam, the data or the networks, in one sentence.
    """
    top, below = bench.networks[cells[0].config["top"]["name"]], bench.below(cells[0])
    sizes, parts = chunked(cells, below or top, top, bench)
    done, total = 0, _work(cells, bench) * len(parts)

    def tick(amount: int) -> None:
        nonlocal done
        done += amount
        if tell:
            tell(f"{cells[0].sweep.kind if below is None else below.name} -> {top.name}", min(done, total), total)

    for part in parts:
        spare = max(0, bench.memory - sum(sizes[i] for i in part))
        unfinished = left(cells[0], bench)
        yield from _chunk([cells[i] for i in part], bench, tick, spare, unfinished)
        if unfinished is not None:
            unfinished.clear()


def families(groups: Sequence[Sequence[Cell]], bench: Bench) -> list[list[Sequence[Cell]]]:
    """The groups in those that are run together: closed forms between three networks or more, as many as memory takes.

    Each network of such a family runs once over a batch, not once for each of its pairs. All others are run one by one,
    and all where sums are to be kept in a file, or processes share the pass.

    A family that was measured when it was stopped comes whole, recorded cells included: its state is of all of them.
    """
    wanted = {cell.hash for group in groups for cell in group}
    asked = sweeps_of(cell for cell in bench.asked if not bench.fails(cell)) if bench.asked else groups
    found, inside = [], set[str]()
    for same in _alike(asked) if bench.sums is None and current() is None else []:
        for family in _fitting(same, bench):
            part = _to_run(family, wanted, bench)
            if len(_ends(part)) > 2:
                found.append(part)
                inside |= {cell.hash for group in part for cell in group}
    return [*found, *([group] for group in groups if group[0].hash not in inside)]


def _alike(groups: Sequence[Sequence[Cell]]) -> list[list[Sequence[Cell]]]:
    """Closed forms that differ in nothing but their networks and seams, whose sums see the same samples."""
    found: dict[Shared, list[Sequence[Cell]]] = {}
    for group in groups:
        shared = group[0].sweep
        if _solved(group):
            chosen = shared.top if isinstance(shared.anchors, str) and shared.anchors != ANCHORS_BY[0] else ""
            found.setdefault(shared._replace(bottom="", top=chosen), []).append(group)
    return list(found.values())


def _to_run(family: Sequence[Sequence[Cell]], wanted: set[str], bench: Bench) -> list[Sequence[Cell]]:
    """The cells of a family that are wanted, or all where its measurement was begun; if none is, its state goes."""
    part: list[Sequence[Cell]] = [some for group in family if (some := [cell for cell in group if cell.hash in wanted])]
    pieces = left_together(family, bench)
    if pieces is None:
        return part
    begun = {name for name in _PIECES if pieces.piece(name).path.exists()}
    if not part:
        pieces.clear()  # it was stopped between its last record and the end of its state
    return list(family) if part and "test" in begun else part


def _solved(group: Sequence[Cell]) -> bool:
    """Whether cells of one sweep are closed forms between donors whose statistics stay as they are."""
    shared = group[0].sweep
    return (
        shared.kind == "plain"
        and shared.normalisation == "frozen"
        and all(cell.config["objective"] == MATCH and "unfreeze" not in cell.config for cell in group)
    )


def _ends(groups: Sequence[Sequence[Cell]]) -> set[str]:
    """The names of the networks that sweeps are about."""
    return {name for group in groups for name in (group[0].sweep.bottom, group[0].sweep.top)}


def _fitting(groups: Sequence[Sequence[Cell]], bench: Bench) -> list[list[Sequence[Cell]]]:
    """Sweeps in families that fit the memory budget: all, or those of any two of several blocks of their networks."""
    names = [name for name in bench.networks if name in _ends(groups)]
    for blocks in range(1, len(names)):
        size = -(-len(names) // blocks)
        block = {name: number // size for number, name in enumerate(names)}
        parts: dict[tuple[int, int], list[Sequence[Cell]]] = {}
        for group in groups:
            a, b = sorted((block[group[0].sweep.bottom], block[group[0].sweep.top]))
            at = (a, b) if a != b else (a, a + 1) if a + 1 < blocks else (max(0, a - 1), a)
            parts.setdefault(at, []).append(group)
        if all(family_bytes(part, bench) <= bench.memory for part in parts.values()):
            return list(parts.values())
    return [[group] for group in groups]


def family_bytes(groups: Sequence[Sequence[Cell]], bench: Bench) -> int:
    """What a family holds: its stitches, the sums of all layers, and their activations for a measuring batch."""
    held, layers = 0, dict[tuple[str, str], Layer]()
    met: dict[Any, tuple[dict[tuple[str, str], int], dict[tuple[str, str], int]]] = {}  # at the same positions
    for group in groups:
        ends = [bench.networks[name] for name in (group[0].sweep.bottom, group[0].sweep.top)]
        held += sum(chunked(group, ends[0], ends[1], bench)[0])
        for cell in group:
            names = [cell.config[side]["layer"] for side in ("bottom", "top")]
            both = [network.layer(name) for network, name in zip(ends, names)]
            sides = met.setdefault((both[1].kind, both[1].positions), ({}, {}))
            for side, network, layer in zip(sides, ends, both):
                layers[network.name, layer.name] = layer
                side[network.name, layer.name] = layer.channels
    wide = sum(sum(below.values()) * sum(above.values()) for below, above in met.values())
    each = int(getattr(torch, bench.spec.sums).itemsize) + 8  # of the fit's sums, and of the measurement's
    return held + each * wide + 2 * bench.spec.batch_size * sum(map(sample_bytes, layers.values()))


@torch.inference_mode(False)
@torch.enable_grad()
def run_family(groups: Sequence[Sequence[Cell]], bench: Bench, *, tell: Tell | None = None) -> Iterator[Fitted]:
    """Solve and measure closed forms between many networks, each of which runs once over a batch.

    Sums that are not finite, or do not fit, leave all to ``run_sweep``, which names the layer.

    Raises:
        StitchError: as ``run_sweep``.
    """
    started, shared = time.monotonic(), groups[0][0].sweep
    names = _ends(groups)
    company = Company({name: bench.networks[name] for name in bench.networks if name in names})
    fit, done = bench.drawn(shared).size("fit"), 0

    def tick(amount: int) -> None:
        nonlocal done
        done += amount
        if tell:
            tell(f"{len(groups)} pairs of {company.name}", done, fit + bench.data.size("test"))

    jobs = [_job(group, bench, tick, bench.memory) for group in groups]
    for job in jobs:
        job.sweep = replace(job.sweep, sender=NetworkSender(bench.networks[job.cells[0].sweep.bottom]))
        job.streams = [_stream(cell, job.sweep.sender, job.sweep.top, bench) for cell in job.cells]
    pieces = left_together(groups, bench)
    sums = None if pieces is None else pieces.piece("sums")
    if _taken(jobs, company, sums):
        for job in jobs:
            look_again(job.streams, job.sweep)
            solve(job.streams, job.sweep)
        yield from _measure(jobs, bench, started, pieces)
    else:
        for group in groups:
            yield from run_sweep(group, bench, tell=tell)
    if pieces is not None:
        pieces.clear()  # all records are on their way to the disk, or there


def _taken(jobs: Sequence[_SweepJob], company: Company, sums: Unfinished | None) -> bool:
    """Give all streams their sums, from one pass; whether these are finite, and fit."""
    streams = {}
    for job in jobs:
        below, top = job.cells[0].sweep.bottom, job.sweep.top.name
        for stream in job.streams:
            keys = company.key(below, stream.bottom_layer), company.key(top, stream.top_layer)
            streams[id(stream)] = replace(stream, bottom_layer=keys[0], top_layer=keys[1])
    sender: Any = company  # which receives, too
    try:
        found = collect_together(list(streams.values()), replace(jobs[0].sweep, sender=sender, top=sender), sums)
    except (NonFiniteError, MeasureError):
        return False
    for stream in (stream for job in jobs for stream in job.streams):
        stream.moments = streams[id(stream)].moments
    return found


def chunked(cells: Sequence[Cell], sender: Network, top: Network, bench: Bench) -> tuple[list[int], list[range]]:
    """What each cell of a sweep holds in bytes, and the runs of cells that the memory budget takes at a time."""
    sizes = [
        stream_bytes(
            sender.layer(c.config["bottom"]["layer"]),
            top.layer(c.config["top"]["layer"]),
            bench.spec.batch_size,
            solved=c.config["objective"] == MATCH,
        )
        for c in cells
    ]
    return sizes, chunks(sizes, bench.memory)


def left(cell: Cell, bench: Bench) -> Unfinished | None:
    """Where the sweep of a cell leaves its state; which of its cells that is of, the state itself says."""
    if bench.unfinished is None:
        return None
    shared: dict[str, Any] = {key: cell.config[key] for key in ("data", "normalisation", "seed")}
    shared["fit"] = {key: value for key, value in cell.config["fit"].items() if key not in OF_LOOKS}
    ends = {side: cell.config[side]["fingerprint"] for side in ("bottom", "top")}
    work = {**shared, **ends, "sweep": str(cell.sweep), "company": cell.company}
    return Unfinished(bench.unfinished / cell_hash(work), bench.device)


_PIECES = ("sums", "test", "second")


def left_together(groups: Sequence[Sequence[Cell]], bench: Bench) -> Pieces | None:
    """Where a family leaves its sums, and what it has measured so far: named by its cells, in their order."""
    if bench.unfinished is None:
        return None
    work = {"family": [cell.hash for group in groups for cell in group]}
    return Pieces(bench.unfinished, f"family-{cell_hash(work)}", bench.device)


def _sums(cells: Sequence[Cell], sweep: Sweep, bench: Bench) -> Unfinished | None:
    """Where the sums of solved cells are left while they grow; the file is named by all that decides what they are."""
    folder = bench.sums or bench.unfinished
    config = cells[0].config
    solved = all(cell.config["objective"] == MATCH for cell in cells) and config["normalisation"] == "frozen"
    if folder is None or not solved or cells[0].sweep.kind != "plain":
        return None
    fit = {key: config["fit"].get(key) for key in ("samples", "augment", "anchors_by", "positions", "sums")}
    seams = sorted({(cell.config["bottom"]["layer"], cell.config["top"]["layer"]) for cell in cells})
    ends = [[config[side]["fingerprint"], config[side].get("view", "")] for side in ("bottom", "top")]
    work = {
        "ends": ends,
        "seams": [list(seam) for seam in seams],
        "data": config["data"],
        "seed": config["seed"],
        "fit": fit,
        "batch size": sweep.spec.batch_size,
    }
    return Unfinished(folder / f"sums-{cell_hash(work)}", bench.device)


def unmeasured(cell: Cell, why: str, bench: Bench) -> Record:
    """The record of a cell for which there is nothing to measure."""
    return Record(cell.hash, copy.deepcopy(cell.config), notes=(f"failed: {why}",), provenance=provenance(bench.device))


@dataclass
class _SweepJob:
    """Cells of one sweep on their way to records.

    Attributes:
        sweep: as it is fitted.
        streams: one for each cell, once they are fitted.
        below: the network whose own outcome stands beside; None where it has other classes, or there is none.
    """

    cells: Sequence[Cell]
    donors: Sequence[Alone]
    sweep: Sweep
    below: Network | None
    streams: list[Stream] = field(default_factory=list)


def _job(cells: Sequence[Cell], bench: Bench, tick: Tick, spare: int) -> _SweepJob:
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
        watch=bench.watch,
        enough=_enough(shared, data.task),
    )
    return _SweepJob(cells, donors, begun, below if below is not None and _same_task(below, top, data.task) else None)


def _chunk(cells: Sequence[Cell], bench: Bench, tick: Tick, spare: int, unfinished: Unfinished | None) -> list[Fitted]:
    started = time.monotonic()
    job = _job(cells, bench, tick, spare)
    begun, state = _taken_up(cells, job.sweep, unfinished)
    (job.sweep, job.streams), _ = attempt(lambda s: _fit(cells, s, bench, unfinished, state), begun)
    sums = _sums(cells, job.sweep, bench)
    found = _measure([job], bench, started - (unfinished.before if unfinished else 0.0))
    if sums is not None and bench.sums is None:
        sums.clear()
    return found


def _measure(jobs: Sequence[_SweepJob], bench: Bench, started: float, pieces: Pieces | None = None) -> list[Fitted]:
    """Read the test split once for all jobs, and make their records; the state is left among the ``pieces``."""
    first = jobs[0].sweep

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

    measured, last = attempt(lambda s: final(parts(s), kept("test")), first)
    for job, (_, seen) in zip(jobs, measured):
        bench.own |= {_beside(job, name): outcome for name, outcome in seen.items()}
    again: Sequence[SweepResult | None] = [None] * len(jobs)
    if bench.second is not None:
        again, _ = attempt(lambda s: final(parts(s, bench.second), kept("second")), last)
    used = {first.spec.batch_size, last.spec.batch_size}
    before = 0.0 if pieces is None else pieces.before
    seconds = (time.monotonic() - started + before) / sum(len(job.cells) for job in jobs)
    made = {**provenance(bench.device), "seconds": round(seconds, 3)}
    return [
        fitted
        for job, (results, _), other in zip(jobs, measured, again)
        for fitted in _records(job, bench, results, other, used, made)
    ]


def _beside(job: _SweepJob, name: str) -> str:
    """What the own outcome of a donor is known by: what is held against a top's own outputs is that top's alone."""
    return SplitPart(job.sweep).called(name)


def _records(
    job: _SweepJob,
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


def _enough(shared: Shared, task: Task) -> tuple[float, float] | None:
    """When a control has said what it is for, as ``Sweep`` has it."""
    far, control = FAR.get(task.unit.partition(" ")[0]), shared.control
    return None if control is None or control.settled is None or far is None else (far, control.settled)


def _taken_up(
    cells: Sequence[Cell], sweep: Sweep, unfinished: Unfinished | None
) -> tuple[Sweep, dict[str, Any] | None]:
    """The sweep in the batches that memory had room for when it was stopped, and the state that it left."""
    state = None if unfinished is None else unfinished.read()
    if unfinished is None or state is None:
        return sweep, state
    smaller = replace(sweep, spec=sweep.spec.model_copy(update={"batch_size": state["batch size"]}))
    if fits(state, [cell.hash for cell in cells], smaller):
        return smaller, state
    unfinished.before = 0.0  # of other cells: begun anew
    return sweep, state


def _fit(
    cells: Sequence[Cell], sweep: Sweep, bench: Bench, unfinished: Unfinished | None, state: dict[str, Any] | None
) -> tuple[Sweep, list[Stream]]:
    """Fit all cells; a retry with a smaller batch starts anew, the sender's statistics included."""
    sweep = replace(sweep, sender=_sender(cells, sweep, bench))
    streams = [_stream(cell, sweep.sender, sweep.top, bench) for cell in cells]
    collect(streams, sweep, _sums(cells, sweep, bench))
    look_again(streams, sweep)
    solve(streams, sweep)
    weigh(streams, sweep)
    train(streams, sweep, unfinished, state)
    settle(streams, sweep)
    return sweep, streams


def _sender(cells: Sequence[Cell], sweep: Sweep, bench: Bench) -> Sender:
    """What sends in these cells: a network, or what stands in for one."""
    control, below = cells[0].sweep.control, bench.below(cells[0])
    if below is None:
        assert control is not None
        assert control.sender is not None
        return control.sender(sweep.top, sweep.data, sweep.seed)
    frozen = sweep.normalisation == "frozen"
    return NetworkSender(below, own=None if frozen else [cell.config["bottom"]["layer"] for cell in cells])


def _note(job: _SweepJob, bench: Bench, sizes: set[int]) -> None:
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


def facts(donors: Sequence[Alone]) -> dict[str, DonorFacts]:
    """What records say of donors beside what cells are named by."""
    return {donor.name: DonorFacts(**donor.stated()) for donor in donors}


def _same_task(below: Network, top: Network, task: Task) -> bool:
    """Whether the bottom network's own output can be held against the top's labels: it has as many classes.

    In embeddings without labels it cannot: what the top gives by itself lies in the top's own space.
    """
    if task.of_top:
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


def _stream(cell: Cell, sender: Sender, top: Network, bench: Bench) -> Stream:
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


def _work(cells: Sequence[Cell], bench: Bench) -> int:
    whole = bench.data.size("fit")
    fit = min(cells[0].sweep.samples or whole, cells[0].sweep.budget or whole, whole)
    stages_most = max(0 if c.config["objective"] in SOLVED else c.config["objective"].count("+") + 1 for c in cells)
    return fit + bench.data.size("test") + stages_most * bench.spec.steps


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
    near = {
        "rate": (stream.rate, ""),
        "relative_mse": (truth.relative_mse, ""),
        "r2": (None if truth.relative_mse is None else 1.0 - truth.relative_mse, ""),
        "ood": (truth.ood, "ratio"),
        "ood_share": (truth.ood_share, "percent"),
        "collapsed_share": (truth.collapsed_share, "percent"),
        "cka": (truth.cka, ""),
    }
    found |= {name: Estimate(value, unit=of) for name, (value, of) in near.items() if value is not None}
    answers = None if below is None else below.answers
    if (
        below is not None
        and answers is not None
        and outcome.answers is not None
        and len(answers) == len(outcome.answers)
    ):
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
