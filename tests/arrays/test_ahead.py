"""What a rehearsal will take: every map is counted, and the time is of its order."""

import time

import numpy as np
import pytest

from modelstitch.arrays import rehearse
from modelstitch.arrays.ahead import foretell_rehearsal
from modelstitch.arrays.given import vectors

RNG = np.random.default_rng(0)
OLD = RNG.normal(size=(400, 6)).astype(np.float32)
NEW = (OLD @ RNG.normal(size=(6, 9))).astype(np.float32)
ASKED = {"queries": 50, "k": (1, 10), "seed": 0}


def told(n=400, **asked):
    one, two = vectors(OLD[:n], "old"), vectors(NEW[:n], "new")
    return foretell_rehearsal(one, two, **{"family": ("affine",), "pairs": None, **ASKED, **asked})


@pytest.mark.parametrize(
    ("asked", "what", "passes"),
    [
        ({}, "1 map to fit, and 1 map to shuffled pairs;", "2 passes over the samples to fit, 5 to search"),
        (
            {"pairs": (30, 200), "family": ("affine", "low-rank:2")},
            "4 maps to fit, and 2 maps to shuffled pairs;",
            "6 passes over the samples to fit, 13 to search",
        ),
        ({"n": 60}, "1 map to fit, and 1 map to shuffled pairs;", "2 passes over the samples to fit, 5 to search"),
    ],
    ids=["one", "several", "few samples"],
)
def test_maps_and_passes_are_counted(asked, what, passes):
    found = told(**asked)
    assert found.what.startswith(what)
    assert found.passes == passes
    rows = asked.get("n", 400)
    assert found.memory == 8 * 15**2 + 4 * 15 * (2 * rows + 50) + 12 * 50 * rows
    assert found.seconds > 0


@pytest.mark.slow
def test_an_mlp_is_measured_by_its_steps():
    begun = time.process_time()
    found = told(family=("mlp",))
    asked = time.process_time() - begun
    begun = time.process_time()
    rehearse(OLD, NEW, family="mlp", **ASKED)
    taken = time.process_time() - begun
    assert asked < taken / 2
    assert found.seconds > taken / 10  # the clock of a machine at work may say more
