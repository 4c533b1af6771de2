"""Fine-tuning against stitching: a bottom kept frozen, everything above it drawn anew and trained."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from ...errors import StudyError
from ...zoo.freeze import freeze_train
from ...zoo.train import Recipe, error_rate
from ..figure import Model, Probe
from .metric import metric

if TYPE_CHECKING:
    from ...support.resume import Pieces
    from ..job import Job

SEED = 100  # of the new parts: no donor of a figure starts from it


def settings(probe: Probe, models: tuple[Model, ...], job: Job) -> dict[str, Any]:
    """The layers up to which the bottom stays frozen, and how the rest is trained."""
    (model,) = models
    recipe = shortened(job, model, float(probe.options.get("time", 1.0)))
    return {"layers": list(job.scale.early_middle_late(model.net)), "recipe": plain(recipe), "seed": SEED}


def measure(probe: Probe, models: tuple[Model, ...], job: Job, pieces: Pieces) -> list[dict[str, Any]]:
    """The test error with the bottom frozen up to each of the scale's three layers.

    ``options["time"]`` is the length of the training, in units of the scale's.
    """
    (model,) = models
    network = job.workshop.network(model)
    donor = dataclasses.replace(job.workshop.donor(model), module=network.module)
    recipe = shortened(job, model, float(probe.options.get("time", 1.0)))
    children = [name for name, _ in network.module.named_children()]
    results = []
    for at, layer in enumerate(job.scale.early_middle_late(model.net)):
        below = children[: children.index(layer) + 1]

        def heard(done: int, loss: float, layer: str = layer) -> None:
            if job.tell:
                job.tell(f"fine-tune above {layer}, {model.name}", done, recipe.steps)

        tuned = freeze_train(
            donor, below, job.data, recipe, seed=SEED + model.seed, device=job.device, progress=heard,
            unfinished=pieces.piece(layer),
        )  # fmt: skip
        place = {"layer": layer, "depth": round(network.layer(layer).depth, 6), "index": at}
        error = error_rate(tuned, job.data, "test", device=job.device)
        results.append({"bottom": place, "top": place, "metrics": [metric("error", error, "percent")]})
    return results


def shortened(job: Job, model: Model, time: float) -> Recipe:
    """The recipe of networks with labels, for another length."""
    recipe = job.workshop.recipe(dataclasses.replace(model, time=1.0, method="labels"))
    if not isinstance(recipe, Recipe):
        raise StudyError("Fine-tuning needs the recipe of a network with labels.")
    return dataclasses.replace(recipe, steps=max(1, round(time * recipe.steps)), checkpoints=())


def plain(recipe: Recipe) -> dict[str, Any]:
    """A recipe as records hold it."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(recipe).items()}
