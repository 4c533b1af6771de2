"""One runner for all figures: every curve through the shared study machinery, every probe once, all in one store.

A cell is named by what it is, so figures that share a pair share its cells, and a second run does only what is missing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from .. import Data, Network
from ..engine.fit.options import fit_spec
from ..engine.measure import Tally
from ..engine.senders import view_of
from ..errors import FitError
from ..notation import Seam
from ..study import Metric, Record
from ..study.assemble import provenance
from ..study.canonical import cell_hash
from ..study.plan import Axes, seams
from ..study.run import data_config, describe_donor, run
from ..support.resume import Pieces
from .figure import Figure, Line, Model, Probe, turned
from .job import Job
from .probes import measure, settings
from .protocols import PROTOCOLS, Protocol
from .scales import Scale


def run_figure(figure: Figure, job: Job) -> list[Record]:
    """All records of a figure, each with the curve it belongs to under ``paper``; what the store holds is not run again.

    Raises:
        StitchError: whatever is wrong, in one sentence.
    """
    with job.store.begun(), told(figure.name):
        return list(_records(figure, job))


@contextmanager
def told(figure: str) -> Iterator[None]:
    """Around work for a figure: memory of a GPU that runs out is told in a sentence."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise FitError(
            f"The GPU ran out of memory in figure {figure} ({str(error).splitlines()[0]}): expected more free memory; "
            "close other programs on it, use fewer --workers, or --scale small. What is finished is kept."
        ) from error


@dataclass(frozen=True)
class Asked:
    """One thing that a figure asks for: a curve under a protocol, or a probe, of the networks of one repeat."""

    what: Line | Probe
    models: tuple[Model, ...]
    repeat: int
    protocol: str = ""


def asked(figure: Figure, job: Job) -> Iterator[Asked]:
    """All that a figure asks for under the job's protocols."""
    repeats = job.scale.pairs(figure.name)
    for repeat in range(repeats):
        for line in figure.lines:
            pair = turned((line.bottom, line.top), repeat, repeats)
            if repeat and pair == (line.bottom, line.top):
                continue  # networks of the user's own: there is one pair
            for name in line.protocols:
                if name in job.protocols:
                    yield Asked(line, pair, repeat, name)
        for probe in figure.probes:
            yield Asked(probe, turned(probe.models, repeat, repeats), repeat)


def measured(one: Asked, job: Job) -> list[Record]:
    """The records of one thing asked for: read where they are there, else made."""
    if isinstance(one.what, Line):
        bottom, top = one.models
        return _stitched(one.what, bottom, top, PROTOCOLS[one.protocol], job)
    return _probed(one.what, one.models, job)


def _records(figure: Figure, job: Job) -> Iterable[Record]:
    seen: set[Model] = set()
    for one in asked(figure, job):
        for record in measured(one, job):
            yield _tagged(record, figure, job, one.protocol, one.what.label, one.repeat)
        yield from _donors(one.models, seen, figure, job, one.repeat)


def _donors(models: Sequence[Model], seen: set[Model], figure: Figure, job: Job, repeat: int) -> Iterable[Record]:
    """The records of networks that have none yet."""
    for model in models:
        if model not in seen:
            seen.add(model)
            yield _tagged(_donor(model, job), figure, job, "", model.name, repeat)


def _stitched(line: Line, bottom: Model, top: Model, protocol: Protocol, job: Job) -> list[Record]:
    networks, pair, data, axes = question(line, bottom, top, protocol, job)
    return run(networks, [pair], data, axes, store=job.store, device=str(job.device), tell=job.tell)


def question(
    line: Line, bottom: Model, top: Model, protocol: Protocol, job: Job
) -> tuple[list[Network], tuple[str, str], Data, Axes]:
    """What a curve asks: its networks, the pair of their names, the data, and how stitchers are fitted."""
    below, above = job.workshop.network(bottom), job.workshop.network(top)
    which = line.stitch_on or protocol.stitch_on
    data = job.seen_by(top) if which == "top" else job.data
    spec = fit_spec({**job.scale.fit[protocol.name], "init": protocol.init})
    families = tuple(f"conv:{k}" for k in job.scale.kernels) if line.families == ("kernels",) else line.families
    axes = Axes(
        _layers(line, below, above, job.scale), families or (protocol.family,), (line.objective or protocol.objective,),
        tuple(dict.fromkeys((*protocol.controls, *line.controls))), (0,), spec, protocol.normalisation,
    )  # fmt: skip
    networks = [below] if below is above else [below, above]
    return networks, (below.name, above.name), data, axes


def _layers(line: Line, below: Network, above: Network, scale: Scale) -> str | tuple[str, ...]:
    if not isinstance(line.layers, str):
        return tuple(text.format(middle=scale.middle) for text in line.layers)
    if line.layers == "three":
        return scale.early_middle_late(line.top.net)
    if line.layers == "grid":
        bottoms, tops = (
            [n for n in network.blocks if n in _spread(network.blocks, scale)] for network in (below, above)
        )
        return tuple(str(Seam("", b, "", t)) for b in bottoms for t in tops)
    found = seams(describe_donor(below), describe_donor(above), line.layers)
    if line.layers == "matching":
        found = _spread(found, scale)
    return tuple(str(Seam("", b.layer, "", t.layer)) for b, t in found)


def _spread(places: list[Any], scale: Scale) -> list[Any]:
    """At most so many places as the scale visits, evenly spread from the first on."""
    return places[:: -(-len(places) // scale.most_cuts)]


def _donor(model: Model, job: Job) -> Record:
    """What a network does alone on the test split; none of its labels is used elsewhere."""
    network = job.workshop.network(model)
    config = {
        "control": "donor",
        "bottom": _end(network),
        "top": _end(network),
        "data": data_config(job.data),
    }
    cell = cell_hash(config)
    kept = job.store.kept(cell)
    if kept is not None:
        return kept
    same = network.output_shape[-1] == job.data.n_classes
    metrics: list[Metric] = []
    if same:
        tally, module = Tally(), network.full().to(job.device)
        with torch.no_grad():
            for batch in job.data.batches("test", 512):
                tally.add(module(view_of(network, batch, job.device)), batch.labels, batch.ids, where=network.name)
        outcome = tally.outcome()
        metrics = [Metric("error", outcome.error, unit="percent"), Metric("loss", outcome.loss, unit="nats")]
    card = {} if model.file else job.workshop.donor(model).card
    metrics += [Metric("parameters", float(sum(p.numel() for p in network.module.parameters())))]
    made = {**provenance(job.device), "trained_seconds": card.get("seconds"), "net": card.get("net", model.net)}
    record = Record(cell, config, tuple(metrics), provenance=made)
    job.store.write(record)
    return record


def _probed(probe: Probe, models: tuple[Model, ...], job: Job) -> list[Record]:
    """The records of a probe; the list of its cells is itself a record, so that a finished probe is found whole."""
    config = {
        "control": probe.kind,
        "bottom": _end(job.workshop.network(models[0])),
        "top": _end(job.workshop.network(models[-1])),
        "others": [_end(job.workshop.network(m)) for m in models[1:-1]],
        "options": probe.options,
        "settings": settings(probe, models, job),
        "data": data_config(job.data),
    }
    whole = cell_hash(config)
    kept = job.store.kept(whole)
    if kept is not None:
        return _unpacked(kept)
    start, pieces = time.monotonic(), Pieces(job.store.path / "unfinished", whole, job.device)
    found = measure(probe, models, job, pieces)
    seconds = round(pieces.before + time.monotonic() - start, 2)
    made = {**provenance(job.device), "probe": whole, "seconds": seconds}
    record = Record(whole, config, provenance=made, results=tuple(found))
    job.store.write(record)
    pieces.clear()
    return _unpacked(record)


def _unpacked(record: Record) -> list[Record]:
    """One record for each place that a probe looked at."""
    made = []
    for result in record.results or ():
        config = {key: value for key, value in record.config.items() if key not in ("options", "settings")}
        config |= {
            "bottom": {**config["bottom"], **result.get("bottom", {})},
            "top": {**config["top"], **result.get("top", {})},
            **{key: result[key] for key in ("family", "objective") if key in result},
        }
        found = {"metrics": result["metrics"], "notes": result.get("notes", []), "provenance": record.provenance}
        cell = cell_hash({**config, "of": record.cell})
        made.append(Record.of({"version": record.version, "cell": cell, "config": config, **found}))
    return made


def _tagged(record: Record, figure: Figure, job: Job, protocol: str, line: str, repeat: int) -> Record:
    return record.tagged({
        "figure": figure.name, "scale": job.scale.name, "ran": job.scale.words, "protocol": protocol, "line": line,
        "repeat": repeat, "other": job.other, "given": job.given,
    })  # fmt: skip


def _end(network: Network) -> dict[str, Any]:
    return {"name": network.name, "fingerprint": network.fingerprint(), "layer": "", "depth": None, "index": None}
