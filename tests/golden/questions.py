"""Four small questions with frozen donors, whose answers are kept.

They say what any change of the house must leave as it is.

python tests/golden/questions.py            # write the answers anew, where a change of numbers is meant
python tests/golden/questions.py --exact    # compare to the last digit: on the machine that wrote them
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import torch
from safetensors.torch import load_file, save_file

import modelstitch as ms
from modelstitch.zoo.donors import DonorSpec, donor
from modelstitch.zoo.nets import build
from modelstitch.zoo.train import Recipe

HERE = Path(__file__).parent
NETS = {
    "conv0": "small-resnet?width=4&blocks=2",
    "conv1": "small-resnet?width=4&blocks=2",
    "tokens": "vit?dim=8&depth=2&heads=2&patch=2&size=8&in_channels=1",
}
SEEDS = {"conv0": 0, "conv1": 1, "tokens": 2}
FIT = {"steps": 4, "eval_every": 2, "batch_size": 64, "samples": 300}
KEYS = (
    "bottom",
    "bottom_layer",
    "top",
    "top_layer",
    "family",
    "objective",
    "control",
    "seed",
    "normalisation",
    "samples",
    "measure",
    "metric",
)
VALUES = ("value", "low", "high")


def data() -> ms.Data:
    """Digits, few enough that all four questions take seconds."""
    return ms.load_data("digits").shorter(val=100, test=150)


def network(name: str) -> ms.Network:
    """A donor from its kept weights."""
    module = build(NETS[name])
    module.load_state_dict(load_file(HERE / f"{name}.safetensors"))
    return ms.Network(module.eval(), next(data().batches("val", 2)).inputs, name)


def pair() -> pl.DataFrame:
    """Two seeds, both ways, several families and objectives, all controls."""
    found = ms.compare(
        network("conv0"),
        network("conv1"),
        data(),
        layers=["block1", "block2"],
        family=["affine", "low-rank:2", "conv:3"],
        objective=["match", "task"],
        controls=("self", "random", "identity", "class-noise", "shuffled", "recalibration"),
        starts=1,
        **FIT,
    )
    return found.frame


def across() -> pl.DataFrame:
    """Maps under tokens: the paper's family, overwritten statistics, other objectives, two numbers of samples."""
    found = ms.compare(
        network("conv1"),
        network("tokens"),
        data(),
        layers=["block1 -> blocks.0", "block2 -> blocks.1"],
        family=["norm-affine-norm"],
        objective=["distill", "downstream"],
        controls=("self",),
        normalisation="batch",
        both=False,
        **{**FIT, "samples": [100, 300]},
    )
    return found.frame


def matrix() -> pl.DataFrame:
    """Every block into every block."""
    return ms.matrix(network("conv0"), network("conv1"), data(), family=["affine", "orthogonal"]).frame


def similarity() -> pl.DataFrame:
    """Every measure between all layers."""
    return ms.similarity(network("conv0"), network("tokens"), data=data()).frame


QUESTIONS: dict[str, Callable[[], pl.DataFrame]] = {
    "pair": pair,
    "across": across,
    "matrix": matrix,
    "similarity": similarity,
}


def answer(name: str) -> pl.DataFrame:
    """One row a value, in a fixed order; seconds are left out, and names of cells, which are no numbers."""
    frame = QUESTIONS[name]()
    if "unit" in frame.columns:
        frame = frame.filter(pl.col("unit").fill_null("") != "s")
    keys = [k for k in KEYS if k in frame.columns]
    return frame.select(*keys, *(v for v in VALUES if v in frame.columns)).sort(keys)


def kept(name: str) -> pl.DataFrame:
    """The answer as it was."""
    return pl.read_parquet(HERE / f"{name}.parquet")


def train() -> None:
    """Make the donors."""
    for name in NETS:
        transformer = name == "tokens"
        recipe = Recipe(
            steps=600 if transformer else 200,
            lr=1e-2 if transformer else 0.2,
            schedule="one-cycle",
            batch_size=64,
            optimiser="adamw" if transformer else "sgd",
        )
        made = donor(DonorSpec(NETS[name], recipe, seed=SEEDS[name]), ms.load_data("digits"))
        print(name, made.card["net"], made.card["test_error"])
        save_file({k: v.contiguous() for k, v in made.module.state_dict().items()}, HERE / f"{name}.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if not all((HERE / f"{name}.safetensors").exists() for name in NETS):
        train()
    for asked in QUESTIONS:
        found = answer(asked)
        if "--exact" in sys.argv:
            same = found.equals(kept(asked))
            print(asked, len(found), "equal" if same else "DIFFERENT")
            if not same:
                keys = [k for k in KEYS if k in found.columns]
                both = found.join(kept(asked), on=keys, how="full", suffix="_kept", nulls_equal=True)
                print(both.filter(pl.col("value") != pl.col("value_kept")))
        else:
            found.write_parquet(HERE / f"{asked}.parquet")
            print(asked, len(found))
