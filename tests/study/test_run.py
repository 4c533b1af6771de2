"""What a study knows of its networks."""

import copy

import torch

from modelstitch import Network
from modelstitch.study.plan import plan
from modelstitch.study.question import Question
from modelstitch.study.run import data_config, describe_donor
from modelstitch.views import Normalise

QUESTION = Question(layers="block1", controls=())


def test_another_view_of_the_same_weights_is_another_cell(modules, digits):
    def cells(view):
        donors = [
            describe_donor(Network(m, torch.zeros(2, 1, 8, 8), n, view=v))
            for m, n, v in zip(modules, "ab", (view, None))
        ]
        return {c.hash for c in plan([tuple(donors)], QUESTION, data_config(digits))}

    plain, small, large = (
        cells(None),
        cells(Normalise(0.0, 1.0)),
        cells(Normalise(0.5, 1.0)),
    )
    assert cells(None) == plain
    assert cells(Normalise(0.0, 1.0)) == small
    assert not plain & small
    assert not small & large


def test_another_output_or_number_of_classes_is_another_cell(modules, digits):
    class Two(torch.nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, x):
            found = self.module(x)
            return {"plain": found, "turned": found.flip(1)}

    def cells(output, data=digits):
        donors = [
            describe_donor(Network(Two(m), torch.zeros(2, 1, 8, 8), n, output=output)) for m, n in zip(modules, "ab")
        ]
        asked = Question(layers="module.block1", controls=())
        return {c.hash for c in plan([tuple(donors)], asked, data_config(data))}

    more = copy.copy(digits)
    more.__dict__["n_classes"] = 12
    assert len({*cells("plain"), *cells("turned"), *cells("plain", more)}) == 3
    assert cells(None) == cells("plain")
