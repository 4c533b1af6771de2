"""``modelstitch train NET``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from . import common


@click.command()
@click.argument("net")
@click.option(
    "--data", "data_name", default="digits", show_default=True, help="Data: digits, parquet:DIR, folder:DIR, ..."
)
@click.option("--steps", type=click.IntRange(1), help="Optimiser steps; the short recipe's by default.")
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), help="Peak rate of the one-cycle schedule.")
@click.option("--fit-samples", type=click.IntRange(1), help="Train on the first so many samples only.")
@click.option("--limit", type=click.IntRange(1), help="Read at most so many samples of each part of the data.")
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
@common.shared(out="runs/donors")
def train(
    net: str,
    data_name: str,
    steps: int | None,
    learning_rate: float | None,
    fit_samples: int | None,
    limit: int | None,
    precision: str,
    labels: str,
    seed: int,
    device: str,
    out: Path,
) -> None:
    """Train a network of the zoo, for example preact-resnet18?width=16, and keep it in a folder under --out."""
    from ..data.load import load_data
    from ..stats.chance import chance_error, hardly_better
    from ..support.device import pick_device
    from ..zoo.donors import DonorSpec, donor
    from ..zoo.train import short_recipe

    data = load_data(data_name, limit=limit)
    base = short_recipe(net, digits=data_name == "digits")
    changes = {"steps": steps, "lr": learning_rate, "n_fit": fit_samples, "precision": precision}
    recipe = dataclasses.replace(base, **{k: v for k, v in changes.items() if v is not None})  # type: ignore[arg-type]
    spec = DonorSpec(net, recipe, seed=seed, labels=labels)
    with common.progress() as tell:
        made = donor(
            spec,
            data,
            out,
            device=pick_device(device),
            progress=lambda done, loss: tell(f"train {net}, seed {seed}", done, recipe.steps),
        )
    if hardly_better(made.card["val_error"], chance_error(data.n_classes)):
        common.say("It is hardly better than chance: it has not learned; try more --steps or another --learning-rate.")
    common.say(f"validation error {made.card['val_error']:.2f} %, test error {made.card['test_error']:.2f} %")
    common.say(f"The donor is {made.folder}.")
