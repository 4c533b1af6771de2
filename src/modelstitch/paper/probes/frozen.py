"""Freeze-training: some layers taken from another network and kept, the rest drawn anew and trained on all data."""

from __future__ import annotations

from typing import Any

from ...support.resume import Pieces
from ..figure import Model, Probe
from ..job import Job
from .metric import metric
from .retrained import how, retrained


def settings(probe: Probe, models: tuple[Model, ...], job: Job) -> dict[str, Any]:
    """The layers that end the first set and begin the last one, and how the rest is trained."""
    (model,) = models
    first, _, last = job.scale.early_middle_late(model.net)
    return {"layers": [first, last], **how(probe, model, job)}


def measure(probe: Probe, models: tuple[Model, ...], job: Job, pieces: Pieces) -> list[dict[str, Any]]:
    """The test error for each set of frozen layers in ``options["sets"]``: "first", "last", "first and last"."""
    (model,) = models
    children = [name for name, _ in job.workshop.network(model).module.named_children()]
    kept = {name: _layers(name, children, job.scale.early_middle_late(model.net)) for name in probe.options["sets"]}
    results = []
    for at, (name, error) in enumerate(retrained(probe, model, job, pieces, kept, "freeze")):
        where = {"layer": name, "depth": at / max(1, len(kept) - 1), "index": at}
        found = {"metrics": [metric("error", error, "percent")], "notes": [f"frozen: {', '.join(kept[name])}"]}
        results.append({"bottom": where, "top": where, **found})
    return results


def _layers(name: str, children: list[str], three: tuple[str, ...]) -> list[str]:
    """First: up to the scale's early layer; last: from its late layer on, the head included."""
    first = children[: children.index(three[0]) + 1] if "first" in name else []
    last = children[children.index(three[2]) :] if "last" in name else []
    return [c for c in (*first, *last) if c != "pool"]
