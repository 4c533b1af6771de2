"""``modelstitch compare BOTTOM TOP``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from . import common
from .options import FIT, GRID, asked, donors, machine


@click.command()
@donors
@asked(*GRID)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Number of seeds for each seam, from --seed on.",
)
@click.option(
    "--other-seed", help="A model of TOP's architecture, trained from another seed: adds the control other-seed."
)
@common.weights_of("other-seed")
@asked(*FIT)
@machine
@common.activations
@common.dry_run
@common.speaks()
@common.shared(out="runs/compare")
def compare(
    seeds: int,
    other_seed: str | None,
    other_seed_weights: Path | None,
    second: str | None,
    dry_run: bool,
    seed: int,
    device: str,
    out: Path,
    memory: float | None,
    tensorboard: str | None,
    activations: Path | None,
    **question: Any,
) -> None:
    """Stitch two models at all matching layers, in both directions, with controls, and write the report.

    Finished cells, and the last minute of a fit, are kept in the --out folder; the same command again does only what is
    missing.
    """
    from ..api import compare as run_compare
    from ..api import plan_compare
    from ..network.network import alike

    random = question["random_weights"]
    lower, upper, data = common.opened(question, tags=("first", "second"))
    if other_seed is not None:
        other = common.network(other_seed, other_seed_weights, data, random=random, side="top")
        other = next((network for network in (lower, upper) if alike(network, other)), other)
        if other not in (lower, upper) and other.name in (lower.name, upper.name):
            other = other.named(f"{other.name} (other seed)")
        question["other_seeds"] = {upper.name: other}
    question |= {"seeds": range(seed, seed + seeds), "second": common.second_of(second, data)}
    if dry_run:
        needs = plan_compare(lower, upper, data, out=out, device=device, memory=memory, **question)
        common.dry(needs)
        return
    with common.progress() as tell:
        result = run_compare(
            lower,
            upper,
            data,
            out=out,
            activations=activations,
            device=device,
            memory=memory,
            tensorboard=tensorboard,
            tell=tell,
            **question,
        )
    common.penalty_tables(result.records)
    command = shlex.join(["modelstitch", *sys.argv[1:]])
    path = result.report(
        out / "report.html", title=" and ".join(dict.fromkeys((lower.name, upper.name))), command=command, data=data
    )
    common.say(f"The report is {path}.")
    common.answer(result, path)
