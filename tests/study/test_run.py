"""What a study knows of its networks."""

import copy
from dataclasses import replace

import pytest
import torch

from modelstitch import Network
from modelstitch.engine.fit.options import FitSpec
from modelstitch.errors import DataError
from modelstitch.study.plan import Axes, plan
from modelstitch.study.run import check_controls, data_config, describe_donor
from modelstitch.views import Normalise

AXES = Axes(("block1 -> block1",), ("affine",), ("task",), (), (0,), FitSpec())


def test_another_view_of_the_same_weights_is_another_cell(modules, digits):
    def cells(view):
        donors = [
            describe_donor(Network(m, torch.zeros(2, 1, 8, 8), n, view=v))
            for m, n, v in zip(modules, "ab", (view, None))
        ]
        return {c.hash for c in plan([tuple(donors)], AXES, data_config(digits))}

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
        axes = replace(AXES, layers=("module.block1 -> module.block1",))
        return {c.hash for c in plan([tuple(donors)], axes, data_config(data))}

    more = copy.copy(digits)
    more.__dict__["n_classes"] = 12
    assert len({*cells("plain"), *cells("turned"), *cells("plain", more)}) == 3
    assert cells(None) == cells("plain")


def test_class_noise_is_refused_before_anything_runs_where_a_label_is_a_sequence():
    class Labels:
        def labels(self, split):
            return torch.zeros(4, 5)

    check_controls(("random", "self"), Labels())
    with pytest.raises(DataError, match=r"needs one class label per sample: leave it out for sequences\."):
        check_controls(("self", "class-noise-strong"), Labels())
