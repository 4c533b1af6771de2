"""What similarities will take: all pairs are counted, and nothing of the networks or the caller changes."""

import pytest
import torch

import modelstitch as ms
from modelstitch.layerwise import foretell_similarity
from modelstitch.support.footprint import Footprint


@pytest.fixture(scope="module")
def two():
    return [ms.load("zoo:small-resnet?width=4&blocks=3", seed=seed, name=name) for seed, name in enumerate("ab")]


@pytest.mark.parametrize(
    ("asked", "cells", "ways"),
    [
        ({}, "36 cells, 9 pairs of layers by 4 measures", ["sums of all layers"]),
        ({"measures": ["cka_minibatch"], "shuffles": 0}, "9 cells, 9 pairs of layers by 1 measure", ["one minibatch"]),
        (
            {"measures": ["mutual_knn", "cka_rbf"]},
            "18 cells, 9 pairs of layers by 2 measures",
            ["all activations kept"],
        ),
        (
            {"measures": ["cka_linear_debiased", "cka"], "view": "flatten"},
            "18 cells, 9 pairs of layers by 2 measures",
            ["blocks of the Gram matrices"],
        ),
    ],
    ids=["defaults", "minibatches", "rows", "gram"],
)
def test_pairs_and_passes_are_counted_and_timed(two, digits, asked, cells, ways):
    state = torch.random.get_rng_state()
    found = foretell_similarity(*two, digits, layers=(["block1", "block2", "block3"],) * 2, device="cpu", **asked)
    assert found.what == cells
    for way in ways:
        assert way in found.passes
    assert found.memory > 0
    assert 0 < found.seconds < 60
    assert torch.equal(torch.random.get_rng_state(), state)


def test_of_a_family_each_two_are_counted(two, digits):
    three = [*two, two[0].named("c")]
    found = foretell_similarity(three, None, digits, layers=["block1", "block2"], measures=["cka"], device="cpu")
    assert found.what == "12 cells, 12 pairs of layers by 1 measure"
    assert found.seconds > 0


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"batch_size": 32},
        {"measures": ["cka_minibatch"], "shuffles": 0},
        {"measures": ["cka_rbf"]},
        {"measures": ["cka_rbf", "mutual_knn"], "shuffles": 1},
        {"measures": ["cka_linear_debiased"], "view": "flatten"},
        {"split": "fit", "measures": ["cka", "procrustes"], "shuffles": 2},
    ],
    ids=["sums", "small-batches", "minibatches", "kernel", "kernels", "gram", "many"],
)
def test_memory_is_told_as_it_is_held(two, digits, asked):
    """What the networks hold while batches pass counts, too, and a kernel's matrices do not stay for the next one."""
    asked = {"layers": (["block1", "block3"],) * 2, "device": "cpu", **asked}
    told = foretell_similarity(*two, digits, **asked)
    with Footprint() as held:
        ms.similarity(*two, digits, **asked)
    assert told.memory == pytest.approx(held.most, rel=0.1)
