"""What a model costs, counted by hand."""

import torch
from torch import nn

from modelstitch.stitched.timing import Runnable, measure_costs, parameters_of

BATCH = 3


def test_multiplications_are_those_of_the_definition():
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 25, 7))
    x = torch.zeros(BATCH, 2, 5, 5)
    found = measure_costs({"it": Runnable(model, lambda: model(x))}, BATCH, 1, torch.device("cpu"))["it"]
    assert found.multiplications == 25 * 4 * 2 * 9 + 100 * 7
    assert found.parameters == parameters_of(model) == 4 * 2 * 9 + 4 + 100 * 7 + 7
    assert found.milliseconds > 0
