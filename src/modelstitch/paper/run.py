"""One runner for all figures: every curve is a question to ``compare``, every probe is taken once, all in one store.

A cell is named by what it is, so figures that share a pair share its cells, and a second run does only what is missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from .. import Network, compare
from ..api import plan_compare
from ..errors import FitError, SourceError, StudyError
from ..notation import Seam
from ..study import Metric, Record
from ..support.resume import Pieces
from ..support.version import provenance
from ..zoo.train import error_rate
from .figure import Figure, Line, Model, Probe, turned
from .job import Job
from .probes import measure, settings
from .protocols import PROTOCOLS, Protocol
from .scales import Scale

NEAR = 0.1  # points of test error by which a given network may miss what its folder says of it


def run_figure(figure: Figure, job: Job, *, so_far: bool = False) -> list[Record]:
    """All records of a figure, each with the curve it belongs to under ``paper``.

    What the store holds is not run again.

    Args:
        so_far: give what the store holds of stitches and probes, and run nothing of the rest. Networks that are not
            trained yet are not, and a pair counts when its curve is whole.

    Raises:
        StitchError: whatever is wrong, in one sentence.
    """
    with job.store.begun(), told(figure.name):
        found = list(_records(figure, job, _held if so_far else measured))
    if so_far and not found:
        raise StudyError(
            f"Nothing of figure {figure.name} is finished in {job.store.path}: expected a curve or a probe at least; "
            "run it without --so-far."
        )
    return found


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
        plain = replace(plain, **{"pairs": ()} if isinstance(plain, Line) else {"each": ()})
        return f"{self.protocol} {[m.name for m in self.models]} {plain}"


def asked(figure: Figure, job: Job) -> Iterator[Asked]:
    """All that a figure asks for under the job's protocols."""
    for repeat in range(max(job.scale.pairs(figure.name), *(len(probe.each) for probe in figure.probes), 0)):
        for line in figure.lines:
            repeats = job.scale.pairs(figure.name, (line.bottom.net, line.top.net))
            if models := _networks_of(line, repeat, repeats):
                yield from (Asked(line, models, repeat, name) for name in line.protocols if name in job.protocols)
        for probe in figure.probes:
            if models := _networks_of(probe, repeat, job.scale.pairs(figure.name)):
                yield Asked(probe, models, repeat)


def _networks_of(what: Line | Probe, repeat: int, repeats: int) -> tuple[Model, ...]:
    """The networks of a repeat; none where there is no such repeat."""
    if isinstance(what, Probe) and what.each:
        return what.each[repeat] if repeat < len(what.each) else ()
    if isinstance(what, Line) and what.pairs:  # all in one
        return () if repeat else tuple(dict.fromkeys(model for pair in what.pairs for model in pair))
    usual = what.models if isinstance(what, Probe) else (what.bottom, what.top)
    models = turned(usual, repeat, repeats)
    given = any(model.file for model in models)  # of which there is one set
    return () if repeat >= repeats or (repeat and given and models == usual) else models


def measured(one: Asked, job: Job) -> list[Record]:
    """The records of one thing asked for: read where they are there, else made; they are a part of the store's plan."""
    job = replace(job, store=job.store.for_part(one.key))
    if isinstance(one.what, Line):
        asked = question(one.what, one.models, PROTOCOLS[one.protocol], job)
        return compare(**asked, out=job.store, device=str(job.device), tell=job.tell).records
    return _probed(one.what, one.models, job)


def _held(one: Asked, job: Job) -> list[Record]:
    """The records of one thing asked for that are there."""
    if not all(map(job.workshop.ready, one.models)):
        return []
    if isinstance(one.what, Probe):
        kept = job.store.kept(_whole(one.what, one.models, job).cell)
        return [] if kept is None else _unpacked(kept)
    asked = question(one.what, one.models, PROTOCOLS[one.protocol], job)
    needs = plan_compare(**asked, out=job.store, device=str(job.device), timed=False)
    if needs.forwards and not one.what.pairs:  # all pairs are in one question where they are named
        return []
    found = [record for cell in needs.held if (record := job.store.kept(cell)) is not None]
    return sorted(
        found, key=lambda r: (r.control, r.bottom.name, r.top.name, r.top.depth or 0.0, r.family or "", r.cell)
    )


def _pairs(line: Line, figure: Figure, scale: Scale) -> int:
    """How many pairs stand behind a curve when it is whole."""
    return len(line.pairs) or scale.pairs(figure.name, (line.bottom.net, line.top.net))


def _records(figure: Figure, job: Job, get: Callable[[Asked, Job], list[Record]]) -> Iterable[Record]:
    seen: set[Model] = set()
    for one in asked(figure, job):
        numbers: dict[tuple[str, ...], int] = {}
        found = get(one, job)
        for record in found:
            repeat = one.repeat
            if isinstance(one.what, Line) and one.what.pairs:  # a number for every pair, and every top of a control
                ends = (record.control, record.bottom.name, record.top.name)
                repeat = numbers.setdefault(ends, sum(known[0] == record.control for known in numbers))
            tagged = _tagged(record, figure, job, one.protocol, one.what.label, repeat)
            whole = isinstance(one.what, Line) and get is _held and _pairs(one.what, figure, job.scale)
            yield tagged.tagged({**tagged.tags, "pairs": whole}) if whole else tagged
        if found:
            yield from _donors(one.models, seen, figure, job, one.repeat)


def _donors(models: Sequence[Model], seen: set[Model], figure: Figure, job: Job, repeat: int) -> Iterable[Record]:
    """The records of networks that have none yet."""
    for model in models:
        if model not in seen:
            seen.add(model)
            yield _tagged(_donor(model, job), figure, job, "", model.name, repeat)


def question(line: Line, models: Sequence[Model], protocol: Protocol, job: Job) -> dict[str, Any]:
    """What a curve asks, as ``compare`` takes it: networks, the data, and how stitchers are fitted."""
    networks = {model: job.workshop.network(model) for model in models}
    bottom, top = line.pairs[0] if line.pairs else models
    below, above = networks[bottom], networks[top]
    named = [(networks[a].name, networks[b].name) for a, b in line.pairs]
    pairs = {"bottom": list(networks.values()), "pairs": named} if named else {"bottom": below, "top": above}
    which = line.stitch_on or protocol.stitch_on
    families = tuple(f"conv:{k}" for k in job.scale.kernels) if line.families == ("kernels",) else line.families
    return {
        "starts": 1,  # where the scale asks for no more
        "optimizer": "adam",  # as all scales were run
        **job.scale.fit[protocol.name],
        **pairs,
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
        return scale.early_middle_late(line.top.net) or _three(above.blocks)
    if line.layers == "grid":
        bottoms, tops = (_spread(network.blocks, scale) for network in (below, above))
        return tuple(str(Seam("", b, "", t)) for b in bottoms for t in tops)
    return tuple(str(replace(seam, bottom="", top="")) for seam in _spread(below.seams(above), scale))


def _three(places: Sequence[str]) -> tuple[str, ...]:
    """At a sixth, a half and five sixths of the places."""
    return tuple(dict.fromkeys(places[len(places) * part // 6] for part in (1, 3, 5)))


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
    metrics, own = [], model.file in job.workshop.given
    if network.output_shape[-1] == job.data.n_classes:
        data = job.workshop.data if own else job.data  # of a network that is given the whole split tells most
        error = error_rate(network.whole(job.device), data, "test", device=job.device, view=network.view)
        metrics = [Metric("error", error, unit="percent")]
        wanted = job.workshop.errors.get(model.file, error) if not model.change else error
        if abs(wanted - error) > NEAR:
            raise SourceError(
                f"{model.file} errs on {error:.2f} % of the test split: expected {wanted:g} %; check its weights, its "
                "mean and std, and the data."
            )
    card = {} if model.file else job.workshop.donor(model).card
    metrics += [Metric("parameters", float(sum(p.numel() for p in network.module.parameters())))]
    made = {**provenance(job.device), "trained_seconds": card.get("seconds"), "net": card.get("net", model.net)}
    made |= {"weights": network.weights.rpartition("/")[2]} if own else {}  # the file, wherever it lies
    record = replace(found, metrics=tuple(metrics), provenance=made)
    job.store.write(record)
    return record


def _probed(probe: Probe, models: tuple[Model, ...], job: Job) -> list[Record]:
    """The records of a probe; the list of its cells is itself a record, so that a finished probe is found whole."""
    whole = _whole(probe, models, job)
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


def _whole(probe: Probe, models: tuple[Model, ...], job: Job) -> Record:
    """A probe before it is taken: its name is the hash of all that decides it."""
    return Record.named(
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
            **({"own": job.groups.plain, "command": job.command} if job.groups else {}),
        }
    )


def _end(network: Network) -> dict[str, Any]:
    return {"name": network.name, "fingerprint": network.fingerprint(), "layer": "", "depth": None, "index": None}
