"""The cells of a small study by their control, and the bench they are fitted on."""

import pytest
import torch

from modelstitch.engine.fit.options import FitSpec
from modelstitch.study.plan import plan
from modelstitch.study.prepared import data_config, describe_donor
from modelstitch.study.question import Question
from modelstitch.study.sweeps.bench import Bench

QUESTION = Question(
    layers=("block1", "block2"), objective="match", controls=("random", "class-noise"), fit=FitSpec(samples=200)
)


@pytest.fixture
def cells(pair, digits):
    one, two = map(describe_donor, pair)
    found = {}
    for cell in plan([(one, two)], QUESTION, data_config(digits)):
        found.setdefault(cell.config["control"], []).append(cell)
    return found


@pytest.fixture
def bench(pair, digits):
    return Bench({n.name: n for n in pair}, digits, QUESTION.fit, torch.device("cpu"))
