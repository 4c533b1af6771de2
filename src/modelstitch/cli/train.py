"""``modelstitch train NET``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import common
from .options import asked

if TYPE_CHECKING:
    from ..data.data import Data
    from ..support.ahead import Ahead
    from ..zoo.donors import DonorSpec
    from ..zoo.train import Recipe


@click.command()
@click.argument("net")
@common.data
@click.option("--steps", type=click.IntRange(1), help="Optimiser steps; the short recipe's by default.")
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), help="Peak rate of the one-cycle schedule.")
@click.option(
    "--checkpoints",
    callback=common.numbers("steps such as 10,40,160"),
    metavar="STEP,...",
    help="Keep the weights after these steps, too: FOLDER?step=STEP names such a network.",
)
@click.option("--fit-samples", type=click.IntRange(1), help="Train on the first so many samples only.")
@asked("limit")
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16"]),
    default="float32",
    show_default=True,
    help="Precision of the forward passes; bfloat16 is faster on a processor with AMX.",
)
@click.option(
    "--labels",
    default="true",
    show_default=True,
    help="Labels: true, object-animal, or random-P (P percent at random).",
)
@click.option(
    "--name",
    default="",
    help="Name of the network, and of its folder under --out; by default the folder is named by what it holds.",
)
@common.dry_run
@common.speaks()
@common.shared(out="runs/donors")
def train(
    net: str,
    data_name: str,
    steps: int | None,
    learning_rate: float | None,
    checkpoints: tuple[int, ...] | None,
    fit_samples: int | None,
    limit: int | None,
    precision: str,
    labels: str,
    name: str,
    dry_run: bool,
    seed: int,
    device: str,
    out: Path,
) -> None:
    """Train a network of the zoo, for example preact-resnet18?width=16, and keep it in a folder under --out."""
    from ..stats.chance import chance_error, hardly_better
    from ..support.device import pick_device
    from ..zoo.donors import DonorSpec, donor
    from ..zoo.train import short_recipe

    data = common.data_for(data_name, (), limit)
    base = short_recipe(net, digits=data_name == "digits")
    changes: dict[str, Any] = {"steps": steps, "lr": learning_rate, "n_fit": fit_samples, "precision": precision}
    changes["checkpoints"] = None if checkpoints is None else tuple(sorted(set(checkpoints)))
    recipe = dataclasses.replace(base, **{k: v for k, v in changes.items() if v is not None})
    spec = DonorSpec(net, recipe, seed=seed, labels=labels, name=name)
    if dry_run:
        common.dry(_ahead(spec, recipe, data, out, device))
        return
    common.ahead(lambda: _ahead(spec, recipe, data, out, device))
    with common.progress() as tell:
        made = donor(
            spec,
            data,
            out,
            named=bool(name),
            device=pick_device(device),
            progress=lambda done, loss: tell(f"train {name or f'{net}, seed {seed}'}", done, recipe.steps),
        )
    unit = "%" if data.task.by_class else data.task.error_unit
    if data.task.by_class and hardly_better(made.card["val_error"], chance_error(data.n_classes)):
        common.say("It is hardly better than chance: it has not learned; try more --steps or another --learning-rate.")
    common.say(f"validation error {made.card['val_error']:.2f} {unit}, test error {made.card['test_error']:.2f} {unit}")
    common.say(f"The donor is {made.folder}.")
    if recipe.checkpoints:
        common.say(f"Its checkpoints are {', '.join(f'{made.folder}?step={step}' for step in recipe.checkpoints)}.")
    common.result(donor=made.folder, card=made.card)


def _ahead(spec: DonorSpec, recipe: Recipe, data: Data, out: Path, device: str) -> Ahead:
    """What the training will take, from a few steps of it: nothing is trained or written."""
    from ..support.ahead import Ahead
    from ..support.device import pick_device
    from ..support.words import counted
    from ..zoo.donors import a_step, place_of

    folder = out / spec.name if spec.name else place_of(spec, data, out)
    if folder.exists():
        told = f"{folder} is there: the command reads the donor in it, or refuses it."
        return Ahead("0 cells, none to train", "0 passes", 0, "the donor's weights", 0.0, more=(told,))
    fit = min(recipe.n_fit or data.size("fit"), data.size("fit"))
    seconds, memory = a_step(spec, data, pick_device(device))
    return Ahead(
        f"1 cell, {counted(recipe.steps, 'step')} of {recipe.batch_size} samples",
        f"{recipe.steps * recipe.batch_size / fit:.3g} passes over {fit:,} samples of fit, 1 over {data.size('val'):,} "
        f"of val and {data.size('test'):,} of test",
        memory,
        "the data",
        recipe.steps * seconds,
        "from measured steps",
        (f"The donor would be in {folder}.",),
    )
