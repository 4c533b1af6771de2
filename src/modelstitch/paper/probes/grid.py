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
    """One result a pair of block cuts: penalty, error, and the share of the top's variance explained."""
    below, above = (job.workshop.network(m) for m in models)
    samples = settings(probe, models, job)["samples"]
    options = {} if samples is None else {"samples": samples}
    found = matrix(below, above, job.data, device=str(job.device), tell=job.tell, **options)
    results: dict[tuple[str, str], dict[str, Any]] = {}
    for row in found.frame.iter_rows(named=True):
        key = (row["bottom_layer"], row["top_layer"])
        place = results.setdefault(
            key,
            {
                **{
                    side: {name: row[f"{side}_{name}"] for name in ("layer", "depth", "index")}
                    for side in ("bottom", "top")
                },
                "family": row["family"],
                "objective": row["objective"],
                "metrics": [],
            },
        )
        place["metrics"].append({key: row[key] for key in ("metric", "value", "low", "high", "unit")})
    return list(results.values())
