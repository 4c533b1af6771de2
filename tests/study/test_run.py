"""What a study knows of its networks."""

import torch

from modelstitch import Network
from modelstitch.fit.options import FitSpec
from modelstitch.sources.image_view import ImageView
from modelstitch.study.plan import Axes, plan
from modelstitch.study.run import data_config, describe_donor

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
        cells(ImageView((8, 8), (0.0,), (1.0,))),
        cells(ImageView((8, 8), (0.5,), (1.0,))),
    )
    assert cells(None) == plain
    assert cells(ImageView((8, 8), (0.0,), (1.0,))) == small
    assert not plain & small
    assert not small & large
