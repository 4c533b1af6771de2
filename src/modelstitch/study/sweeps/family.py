"""Closed forms between three networks or more, run as one: each network runs once over a batch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from ...engine.fit.closed import collect_together, look_again, solve
from ...engine.fit.memory import sample_bytes
from ...engine.fit.options import ANCHORS_BY, MATCH
from ...engine.senders import Company, NetworkSender
from ...errors import MeasureError, NonFiniteError
from ...network import Layer
from ...support.progress import Tell
from ...support.ranks import current
from ...support.resume import Unfinished
from ..plan import Cell, Shared
from .bench import PIECES, Bench, left_together, wanted_of
from .job import Fitted, SweepJob, job_of, measure, open_cell
from .sweep import cell_bytes, run_sweep


def families(groups: Sequence[Sequence[Cell]], bench: Bench) -> list[list[Sequence[Cell]]]:
    """The groups in those that are run together: closed forms between three networks or more, as many as memory takes.

    Each network of such a family runs once over a batch, not once for each of its pairs. All others are run one by one,
    and all where sums are to be kept in a file, or processes share the pass.

    A family that was measured when it was stopped comes whole, recorded cells included: its state is of all of them.
    """
    found, inside = [], set[str]()
    for same in _alike(bench.sweeps(groups)) if bench.sums is None and current() is None else []:
        for family in _fitting(same, bench):
            part = _to_run(family, groups, bench)
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


def _to_run(family: Sequence[Sequence[Cell]], groups: Sequence[Sequence[Cell]], bench: Bench) -> list[Sequence[Cell]]:
    """The cells of a family that are wanted, or all where its measurement was begun; if none is, its state goes."""
    part = wanted_of(groups, family)
    pieces = left_together(family, bench)
    if pieces is None:
        return part
    begun = {name for name in PIECES if pieces.piece(name).path.exists()}
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
        held += sum(cell_bytes(group, ends[0], ends[1], bench))
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

    jobs = [job_of(group, bench, tick, bench.memory) for group in groups]
    for job in jobs:
        job.sweep = replace(job.sweep, sender=NetworkSender(bench.networks[job.cells[0].sweep.bottom]))
        job.streams = [open_cell(cell, job.sweep.sender, job.sweep.top, bench) for cell in job.cells]
    pieces = left_together(groups, bench)
    sums = None if pieces is None else pieces.piece("sums")
    if _taken(jobs, company, sums):
        for job in jobs:
            look_again(job.streams, job.sweep)
            solve(job.streams, job.sweep)
        each = (time.monotonic() - started) / sum(len(job.cells) for job in jobs)
        for job in jobs:
            job.seconds = each * len(job.cells)
        yield from measure(jobs, bench, pieces, apart=False)
    else:
        for group in groups:
            yield from run_sweep(group, bench, tell=tell)
    if pieces is not None:
        pieces.clear()  # all records are on their way to the disk, or there


def _taken(jobs: Sequence[SweepJob], company: Company, sums: Unfinished | None) -> bool:
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
