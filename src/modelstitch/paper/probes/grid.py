"""Every bottom layer into every top layer, by the closed form: what the top's own activations are matched with."""

from __future__ import annotations

from typing import Any

from ... import matrix
from ...support.resume import Pieces
from ..figure import Model, Probe
from ..job import Job


def settings(probe: Probe, models: tuple[Model, ...], job: Job) -> dict[str, Any]:
    """How many samples the sums are over; None is all."""
    return {"samples": job.scale.fit["honest"].get("samples")}


def measure(probe: Probe, models: tuple[Model, ...], job: Job, pieces: Pieces) -> list[dict[str, Any]]:
    """One result a pair of block cuts: all that a comparison measures there."""
    below, above = (job.workshop.network(m) for m in models)
    samples = settings(probe, models, job)["samples"]
    options = {} if samples is None else {"samples": samples}
    found = matrix(below, above, job.data, device=str(job.device), tell=job.tell, **options)
    return [
        {
            "bottom": {"layer": r.bottom.layer, "depth": r.bottom.depth, "index": r.bottom.index},
            "top": {"layer": r.top.layer, "depth": r.top.depth, "index": r.top.index},
            "family": r.family,
            "objective": r.objective,
            "metrics": [m.plain() for m in r.metrics],
        }
        for r in found.records
    ]
