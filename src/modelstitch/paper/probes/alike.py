"""Linear CKA at the matching layers of two networks, positions and channels as features, beside its null level."""

from __future__ import annotations

from typing import Any

from ... import similarity
from ...notation import parse
from ...support.resume import Pieces
from ..figure import Model, Probe
from ..job import Job
from .metric import metric, place

MEASURES = ("cka_linear_biased", "cka_linear_debiased")
SHUFFLES = 5


def settings(probe: Probe, models: tuple[Model, ...], job: Job) -> dict[str, Any]:
    """The seams as they are called in the networks, the measures, and on how many samples."""
    return {"seams": _asked(probe, job), "measures": list(MEASURES), "samples": job.scale.samples, "shuffles": SHUFFLES}


def measure(probe: Probe, models: tuple[Model, ...], job: Job, pieces: Pieces) -> list[dict[str, Any]]:
    """One result a pair of layers; ``options["seams"]`` names them, else all matching ones are taken."""
    below, above = (job.workshop.network(m) for m in models)
    asked = _asked(probe, job)
    seams = below.seams(above) if isinstance(asked, str) else [parse(seam) for seam in asked]
    results = []
    for seam in seams:
        found = similarity(
            below,
            above,
            job.data,
            measures=MEASURES,
            layers=([seam.bottom_layer], [seam.top_layer]),
            view="flatten",
            split="val",
            samples=job.scale.samples,
            shuffles=SHUFFLES,
            device=str(job.device),
        )
        metrics = []
        for row in found.similarities:
            if row["value"] is not None:
                metrics.append(metric(row["measure"], row["value"]))
                if row["null_mean"] is not None:
                    metrics.append(metric(f"{row['measure']} of shuffled pairs", row["null_mean"]))
        results.append(
            {
                "bottom": place(below, seam.bottom_layer),
                "top": place(above, seam.top_layer),
                "metrics": metrics,
            }
        )
        if job.tell:
            job.tell(f"similarity {below.name} and {above.name}", len(results), len(seams))
    return results


def _asked(probe: Probe, job: Job) -> str | list[str]:
    asked = probe.options.get("seams")
    return "matching" if asked is None else [seam.format(middle=job.scale.middle) for seam in asked]
