"""Shapes are the same at every draw, and the test split whatever the seed."""

import torch

from modelstitch.data.load import load_data
from modelstitch.data.readers.shapes import draw


def test_the_same_seed_draws_the_same():
    one, other = draw(5, 3), draw(5, 3)
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])
    assert one[0].shape == (5, 1, 32, 32)
    assert one[1].unique().tolist() == [0, 1, 2]


def test_splits():
    data, again = load_data("shapes", limit=60), load_data("shapes", limit=60, seed=1)
    assert [data.size(split) for split in ("fit", "val", "test")] == [50, 10, 60]
    assert data.test_fingerprint == again.test_fingerprint
    assert data.fingerprint != again.fingerprint
    assert (data.n_classes, data.task.name) == (3, "dense")
