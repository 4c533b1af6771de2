"""One runner for all figures: every curve is a question to ``compare``, every probe is taken once, all in one store.

A cell is named by what it is, so figures that share a pair share its cells, and a second run does only what is missing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from .. import Network, compare
from ..errors import FitError
from ..notation import Seam
from ..study import Metric, Record
from ..support.provenance import provenance
from ..support.resume import Pieces
from ..zoo.train import error_rate
from .figure import Figure, Line, Model, Probe, turned
from .job import Job
from .probes import measure, settings
from .protocols import PROTOCOLS, Protocol
from .scales import Scale


def run_figure(figure: Figure, job: Job) -> list[Record]:
    """All records of a figure, each with the curve it belongs to under ``paper``.

    What the store holds is not run again.

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

    @property
    def key(self) -> str:
        """What is measured, whatever a figure calls it and sets beside it: its cells are a part of the store's plan."""
        plain: Any = replace(self.what, label="", paper="", protocols=())
        return f"{self.protocol} {[m.name for m in self.models]} {plain}"


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
    """The records of one thing asked for: read where they are there, else made; they are a part of the store's plan."""
    job = replace(job, store=job.store.for_part(one.key))
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
    asked = question(line, bottom, top, protocol, job)
    return compare(**asked, out=job.store, device=str(job.device), tell=job.tell).records


def question(line: Line, bottom: Model, top: Model, protocol: Protocol, job: Job) -> dict[str, Any]:
    """What a curve asks, as ``compare`` takes it: two networks, the data, and how stitchers are fitted."""
    below, above = job.workshop.network(bottom), job.workshop.network(top)
    which = line.stitch_on or protocol.stitch_on
    families = tuple(f"conv:{k}" for k in job.scale.kernels) if line.families == ("kernels",) else line.families
    return {
        **job.scale.fit[protocol.name],
        "bottom": below,
        "top": above,
        "data": job.seen_by(top) if which == "top" else job.data,
        "both": False,
        "layers": _layers(line, below, above, job.scale),
        "family": families or (protocol.family,),
        "objective": (line.objective or protocol.objective,),
        "controls": tuple(dict.fromkeys((*protocol.controls, *line.controls))),
        "normalisation": protocol.normalisation,
        "init": protocol.init,
    }


def _layers(line: Line, below: Network, above: Network, scale: Scale) -> tuple[str, ...]:
    if not isinstance(line.layers, str):
        return tuple(text.format(middle=scale.middle) for text in line.layers)
    if line.layers == "three":
        return scale.early_middle_late(line.top.net)
    if line.layers == "grid":
        bottoms, tops = (_spread(network.blocks, scale) for network in (below, above))
        return tuple(str(Seam("", b, "", t)) for b in bottoms for t in tops)
    return tuple(str(replace(seam, bottom="", top="")) for seam in _spread(below.seams(above), scale))


def _spread(places: list[Any], scale: Scale) -> list[Any]:
    """At most so many places as the scale visits, evenly spread from the first on."""
    return places[:: -(-len(places) // scale.most_cuts)]


def _donor(model: Model, job: Job) -> Record:
    """What a network does alone on the test split; none of its labels is used elsewhere."""
    network = job.workshop.network(model)
    end = _end(network)
    found = Record.named({"control": "donor", "bottom": end, "top": end, "data": job.data.describe()})
    job.store.for_part(f"network {model.name}").plan([found.cell])
    kept = job.store.kept(found.cell)
    if kept is not None:
        return kept
    metrics = []
    if network.output_shape[-1] == job.data.n_classes:
        error = error_rate(network.full().to(job.device), job.data, "test", device=job.device, view=network.view)
        metrics = [Metric("error", error, unit="percent")]
    card = {} if model.file else job.workshop.donor(model).card
    metrics += [Metric("parameters", float(sum(p.numel() for p in network.module.parameters())))]
    made = {**provenance(job.device), "trained_seconds": card.get("seconds"), "net": card.get("net", model.net)}
    record = replace(found, metrics=tuple(metrics), provenance=made)
    job.store.write(record)
    return record


def _probed(probe: Probe, models: tuple[Model, ...], job: Job) -> list[Record]:
    """The records of a probe; the list of its cells is itself a record, so that a finished probe is found whole."""
    whole = Record.named(
        {
            "control": probe.kind,
            "bottom": _end(job.workshop.network(models[0])),
            "top": _end(job.workshop.network(models[-1])),
            "others": [_end(job.workshop.network(m)) for m in models[1:-1]],
            "options": probe.options,
            "settings": settings(probe, models, job),
            "data": job.data.describe(),
        }
    )
    job.store.plan([whole.cell])
    kept = job.store.kept(whole.cell)
    if kept is not None:
        return _unpacked(kept)
    start, pieces = time.monotonic(), Pieces(job.store.path / "unfinished", whole.cell, job.device)
    found = measure(probe, models, job, pieces)
    seconds = round(pieces.before + time.monotonic() - start, 2)
    made = {**provenance(job.device), "probe": whole.cell, "seconds": seconds}
    record = replace(whole, provenance=made, results=tuple(found))
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
        plain = Record.of({"config": config, "metrics": result["metrics"], "notes": result.get("notes", [])})
        made.append(Record.named(config, metrics=plain.metrics, notes=plain.notes, provenance=record.provenance))
    return made


def _tagged(record: Record, figure: Figure, job: Job, protocol: str, line: str, repeat: int) -> Record:
    return record.tagged(
        {
            "figure": figure.name,
            "scale": job.scale.name,
            "ran": job.scale.words,
            "protocol": protocol,
            "line": line,
            "repeat": repeat,
            "other": job.other,
            "given": job.given,
        }
    )


def _end(network: Network) -> dict[str, Any]:
    return {"name": network.name, "fingerprint": network.fingerprint(), "layer": "", "depth": None, "index": None}
