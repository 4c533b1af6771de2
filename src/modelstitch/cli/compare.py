"""``modelstitch compare BOTTOM TOP``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from ..engine.controls import CONTROLS
from ..study.question import FAMILY, LAYERS, NONE, OBJECTIVE
from . import common


@click.command()
@click.argument("bottom")
@click.argument("top")
@click.option(
    "--data", "data_name", default="digits", show_default=True, help="digits, parquet:DIR, folder:DIR, text:FILE, ..."
)
@common.weights_of("bottom")
@common.weights_of("top")
@common.random_weights
@click.option(
    "--layers",
    "seams",
    multiple=True,
    help=f"'{LAYERS}' (default), 'all', or a seam 'layer2 -> blocks.4'. May be repeated.",
)
@click.option("--control", "controls", multiple=True, type=click.Choice([*CONTROLS, NONE]),
              help="All that the data allow by default, but for recalibration. May be repeated.")  # fmt: skip
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Stitcher seeds per seam.")
@click.option("--other-seed", help="A model of TOP's architecture trained from another seed: one more control.")
@common.weights_of("other-seed")
@click.option("--second", help="A second test set: data by name, or noise:0.2, contrast:0.5, brightness:0.2 of --data.")
@click.option("--one-way", is_flag=True, help="Only BOTTOM under TOP, not also the other way round.")
@click.option("--limit", type=click.IntRange(1), help="Read at most so many samples of each part of the data.")
@common.imports
@common.views
@common.fitting
@common.expected
@common.dry_run
@common.shared(out="runs/compare")
def compare(
    bottom: str, top: str, data_name: str, bottom_weights: Path | None, top_weights: Path | None, random_weights: bool, seams: tuple[str, ...],
    controls: tuple[str, ...], seeds: int, other_seed: str | None, other_seed_weights: Path | None, second: str | None, one_way: bool, limit: int | None, families: tuple[str, ...],
    objectives: tuple[str, ...], dry_run: bool, seed: int, device: str, out: Path, **fit: Any,
) -> None:  # fmt: skip
    """Stitch two models at all matching layers, in both directions, with the controls; write the report.

    Finished cells, and the last minute of a fit, are kept in the --out folder; the same command again does only what is missing.
    """
    from ..api import compare as run_compare
    from ..api import plan_compare
    from ..data.corrupt import second_data

    data = common.data_for(data_name, (bottom, top), limit)
    lower, upper = common.two(
        bottom, bottom_weights, top, top_weights, data, random=random_weights, tags=("first", "second")
    )
    if lower is upper:
        lower, upper = lower.named(f"{lower.name} (first)"), lower.named(f"{lower.name} (second)")
    others = {}
    if other_seed is not None:
        other = common.network(other_seed, other_seed_weights, data, random=random_weights, side="top")
        if other.name in (lower.name, upper.name):
            other.name = f"{other.name} (other seed)"
        others[upper.name] = other
    layers = LAYERS if not seams else seams[0] if seams in (("matching",), ("all",)) else seams
    said: dict[str, Any] = {name: fit.pop(name) for name in ("expected_error", "error_tolerance", "tensorboard")}
    question: dict[str, Any] = {
        "layers": layers, "family": families or FAMILY, "objective": objectives or OBJECTIVE, "controls": controls or None,
        "seeds": tuple(range(seed, seed + seeds)), "other_seeds": others, "both": not one_way, "out": out, "device": device,
        "second": None if second is None else second_data(second, data), **common.fit_values(**fit),
    }  # fmt: skip
    if dry_run:
        common.say("\n".join(plan_compare(lower, upper, data, **question).sentences()))
        return
    with common.progress() as tell:
        result = run_compare(lower, upper, data, **question, **said, tell=tell)
    common.penalty_tables(result.records)
    command = shlex.join(["modelstitch", *sys.argv[1:]])
    path = result.report(out / "report.html", title=f"{lower.name} and {upper.name}", command=command)
    common.say(f"The report is {path}.")
