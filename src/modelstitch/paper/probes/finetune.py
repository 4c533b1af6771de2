"""Fine-tuning against stitching: a bottom kept frozen, everything above it drawn anew and trained."""

from __future__ import annotations

from typing import Any

from ...support.resume import Pieces
from ..figure import Model, Probe
from ..job import Job
from .metric import metric, place
from .retrained import how, retrained


def settings(probe: Probe, models: tuple[Model, ...], job: Job) -> dict[str, Any]:
    """The layers up to which the bottom stays frozen, and how the rest is trained."""
    (model,) = models
    return {"layers": list(job.scale.early_middle_late(model.net)), **how(probe, model, job)}


def measure(probe: Probe, models: tuple[Model, ...], job: Job, pieces: Pieces) -> list[dict[str, Any]]:
    """The test error with the bottom frozen up to each of the scale's three layers.

    ``options["time"]`` is the length of the training, in units of the scale's.
    """
    (model,) = models
    network = job.workshop.network(model)
    children = [name for name, _ in network.module.named_children()]
    kept = {layer: children[: children.index(layer) + 1] for layer in job.scale.early_middle_late(model.net)}
    results = []
    for at, (layer, error) in enumerate(retrained(probe, model, job, pieces, kept, "fine-tune above")):
        where = {**place(network, layer), "layer": layer, "index": at}
        results.append({"bottom": where, "top": where, "metrics": [metric("error", error, "percent")]})
    return results
