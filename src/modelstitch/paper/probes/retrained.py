"""Networks of which some layers are kept and the rest is drawn anew and trained.

What fine-tuning and freeze-training share.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...errors import StudyError
from ...support.resume import Pieces
from ...zoo.freeze import freeze_train
from ...zoo.train import Recipe, error_rate
from ..figure import Model, Probe
from ..job import Job

SEED = 100  # of the new parts: no donor of a figure starts from it


def retrained(
    probe: Probe, model: Model, job: Job, pieces: Pieces, kept: Mapping[str, Sequence[str]], what: str
) -> Iterator[tuple[str, float]]:
    """(name, test error) for each set of layers that is kept.

    Args:
        kept: name -> the layers.
        what: is done, for progress.
    """
    donor = dataclasses.replace(job.workshop.donor(model), module=job.workshop.network(model).module)
    recipe = shortened(probe, model, job)
    for name, layers in kept.items():

        def heard(done: int, loss: float, name: str = name) -> None:
            if job.tell:
                job.tell(f"{what} {name}, {model.name}", done, recipe.steps)

        made = freeze_train(
            donor,
            layers,
            job.data,
            recipe,
            seed=SEED + model.seed,
            device=job.device,
            progress=heard,
            unfinished=pieces.piece(name),
        )
        yield name, error_rate(made, job.data, "test", device=job.device)


def shortened(probe: Probe, model: Model, job: Job) -> Recipe:
    """The recipe of networks with labels and all data, for the length that the probe asks for.

    What is kept may come from a network that saw little; what is new sees all, for as long whatever is kept.
    """
    recipe = job.workshop.recipe(dataclasses.replace(model, time=1.0, method="labels", samples=1.0))
    if not isinstance(recipe, Recipe):
        raise StudyError("Fine-tuning needs the recipe of a network with labels.")
    share = float(probe.options.get("time", 1.0)) * job.scale.shorter.get(probe.kind, 1.0)
    steps = max(1, round(share * recipe.steps))
    return dataclasses.replace(recipe, steps=steps, checkpoints=())


def how(probe: Probe, model: Model, job: Job) -> dict[str, Any]:
    """The training as records hold it."""
    recipe = dataclasses.asdict(shortened(probe, model, job))
    return {"recipe": {k: list(v) if isinstance(v, tuple) else v for k, v in recipe.items()}, "seed": SEED}
