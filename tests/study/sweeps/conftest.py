"""Sweeps of a pair with its controls, and closed forms between three networks; each with its bench."""

import pytest
import torch

import modelstitch as ms
from modelstitch.engine.fit.options import FitSpec
from modelstitch.study.plan import plan, sweeps_of
from modelstitch.study.prepared import data_config, describe_donor
from modelstitch.study.question import Question
from modelstitch.study.sweeps.bench import Bench

CONTROLS = ("self", "random", "identity", "class-noise", "shuffled")
ASKED = Question(
    layers=("block1", "block2"),
    controls=CONTROLS,
    starts=1,
    fit=FitSpec(samples=200, steps=4, eval_every=2, start_samples=100, batch_size=64),
)


@pytest.fixture
def small(digits):
    return digits.shorter(val=100, test=150)


@pytest.fixture
def fitted(pair, small):
    """The sweeps of a pair and its controls, and what makes a bench for them."""
    groups = sweeps_of(plan([tuple(map(describe_donor, pair))], ASKED, data_config(small)))

    def bench(unfinished=None):
        made = Bench({n.name: n for n in pair}, small, ASKED.fit, torch.device("cpu"), unfinished=unfinished)
        made.all_donors([cell for group in groups for cell in group])
        return made

    return groups, bench


@pytest.fixture
def family(pair, digits):
    """Three networks, stitched each into each, and beside themselves."""
    three = [*pair, ms.Network(Odd().eval(), next(digits.batches("val", 2)).inputs, "odd")]
    asked = Question(
        layers=("block1 -> block1", "block1 -> block2", "block2 -> block2"),
        objective="match",
        family=("affine", "orthogonal"),
        controls=("self", "shuffled"),
        fit=FitSpec(samples=200),
    )
    donors = list(map(describe_donor, three))
    ends = [(a, b) for a in donors for b in donors if a is not b]
    groups = sweeps_of(plan(ends, asked, data_config(digits)))
    return groups, Bench({n.name: n for n in three}, digits, asked.fit, torch.device("cpu"))


class Odd(torch.nn.Module):
    """Another width, and half as many positions in its second block."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(5)
            self.block1 = torch.nn.Conv2d(1, 16, 3, padding=1)
            self.block2 = torch.nn.Conv2d(16, 16, 3, stride=2, padding=1)
            self.head = torch.nn.Linear(16, 10)

    def forward(self, x):
        x = torch.relu(self.block1(x))
        return self.head(torch.relu(self.block2(x)).mean((2, 3)))
