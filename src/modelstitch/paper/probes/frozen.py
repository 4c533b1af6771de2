"""Freeze-training: some layers taken from another network and kept, the rest drawn anew and trained on all data."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from ...zoo.freeze import freeze_train
from ...zoo.train import error_rate
from ..figure import Model, Probe
from .finetune import SEED, plain, shortened
from .metric import metric

if TYPE_CHECKING:
    from ...support.resume import Pieces
    from ..job import Job


def settings(probe: Probe, models: tuple[Model, ...], job: Job) -> dict[str, Any]:
    """The layers that end the first set and begin the last one, and how the rest is trained."""
    (model,) = models
    recipe = shortened(job, model, float(probe.options.get("time", 1.0)))
    first, _, last = job.scale.early_middle_late(model.net)
    return {"layers": [first, last], "recipe": plain(recipe), "seed": SEED}


def measure(probe: Probe, models: tuple[Model, ...], job: Job, pieces: Pieces) -> list[dict[str, Any]]:
    """The test error for each set of frozen layers in ``options["sets"]``: "first", "last", "first and last"."""
    (model,) = models
    network = job.workshop.network(model)
    donor = dataclasses.replace(job.workshop.donor(model), module=network.module)
    recipe = shortened(job, model, float(probe.options.get("time", 1.0)))
    results = []
    for at, name in enumerate(probe.options["sets"]):
        layers = _layers(name, [n for n, _ in network.module.named_children()], job.scale.early_middle_late(model.net))

        def heard(done: int, loss: float, name: str = name) -> None:
            if job.tell:
                job.tell(f"freeze {name}, {model.name}", done, recipe.steps)

        mixed = freeze_train(
            donor, layers, job.data, recipe, seed=SEED + model.seed, device=job.device, progress=heard,
            unfinished=pieces.piece(name),
        )  # fmt: skip
        place = {"layer": name, "depth": at / max(1, len(probe.options["sets"]) - 1), "index": at}
        error = error_rate(mixed, job.data, "test", device=job.device)
        results.append(
            {
                "bottom": place,
                "top": place,
                "metrics": [metric("error", error, "percent")],
                "notes": [f"frozen: {', '.join(layers)}"],
            }
        )
    return results


def _layers(name: str, children: list[str], three: tuple[str, str, str]) -> list[str]:
    """First: up to the scale's early layer; last: from its late layer on, the head included."""
    first = children[: children.index(three[0]) + 1] if "first" in name else []
    last = children[children.index(three[2]) :] if "last" in name else []
    return [c for c in (*first, *last) if c != "pool"]
