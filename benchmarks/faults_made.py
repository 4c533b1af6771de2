"""What faults are done to: small donors, records, networks and studies."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import nn

import modelstitch as ms
from modelstitch.records.answers import pack
from modelstitch.records.record import Metric, Record
from modelstitch.support.hashing import cell_hash
from modelstitch.zoo.donors import DonorSpec, donor
from modelstitch.zoo.train import Recipe

SPECS = (
    """name = "pairs"
data = "digits"
pairs = [["one", "two"]]
layers = ["layer1", "layer2 -> layer3"]
families = ["affine", "low-rank:4"]
objectives = ["match", "task"]
seeds = [0, 1]
normalisation = "frozen"

[donors]
one = "zoo:small-resnet?width=8"
two = {model = "zoo:resnet20", weights = "two.safetensors"}

[fit]
steps = 100
batch_size = 64
learning_rate = 1e-2
""",
    """name = 'all, with another test set'
data = "parquet:DIR"
pairs = "all"
layers = "all"
family = "conv:3"
objective = "distill+task"
controls = ["self", "random", "class-noise"]
samples = [100, 1000]
other_seeds = {a = "b"}
second = "noise:0.3"
limit = 5000
expected_error = {a = 8.5, b = 9}
error_tolerance = 0.5
engine = "ray"
[donors]
a = {folder = "donors/a-0-ddcad2431690", mean = [0.5], std = [0.25]}
b = {model = "timm:resnet18.a1_in1k", weights = "random", seed = 3}
""",
)


def make_donor(cache: Path, seed: int) -> Path:
    """The folder of a small trained network with a checkpoint."""
    data = ms.load_data("digits", limit=60)
    recipe = Recipe(steps=2, lr=0.05, batch_size=16, checkpoints=(1,))
    folder = donor(DonorSpec("small-resnet?width=2", recipe, seed=seed), data, cache).folder
    assert folder is not None
    return folder


def make_record(seed: int) -> Record:
    """The record of a cell that was never run."""
    ends = {"bottom": {"name": "a", "layer": "l1"}, "top": {"name": "b", "layer": "l2"}}
    config = {**ends, "family": "affine", "seed": seed, "control": "pair"}
    metrics = (Metric("penalty", 1.5 + seed, 0.25, 2.75 + seed, "points"),)
    return Record(cell_hash(config), config, metrics, notes=("a note",), provenance={"torch": "2", "seconds": 1.0})


def make_records() -> list[Record]:
    """Records of every form.

    Of a number alone, with the answers behind it, of a fit with a history, and of one that failed.
    """
    own, stitched = np.array([0.0, 100.0, 0.0, 0.0]), np.array([0.0, 100.0, 100.0, 0.0])
    first = make_record(0)
    config = {**first.config, "objective": "task"}
    kept = dataclasses.replace(
        first,
        config=config,
        cell=cell_hash(config),
        examples=pack(stitched, own, np.ones(4), "points", "test"),
        correct="kA==",
        metrics=(
            Metric("penalty", 25.0, 0.0, 75.0, "points"),
            Metric("error", 50.0, unit="percent"),
            Metric("top_error", 25.0, unit="percent"),
        ),
        history=((0, 50.0, 1.5), (100, 25.0, 0.5)),
    )
    failed = dataclasses.replace(make_record(2), metrics=(), notes=("failed: NaN",))
    return [first, kept, make_record(1), failed]


def make_network(name: str = "net", seed: int = 0) -> ms.Network:
    """A network with BatchNorm, traced."""
    torch.manual_seed(seed)
    parts = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)]
    return ms.Network(nn.Sequential(*parts), torch.zeros(2, 1, 8, 8), name)
