"""The parts of a stitched model, joined, compute what a stitched model does."""

import torch

from modelstitch import stitch
from modelstitch.engine.joined import Joined


def test_parts_joined_are_the_stitched_model(pair, digits):
    s = stitch(*pair, "block2", digits, objective="match", device="cpu", samples=200)
    made = Joined().joined(pair[0].bottom("block2"), s.adapter, s.stitcher, pair[1].top("block2"))
    x = next(digits.batches("test", 20)).inputs
    with torch.no_grad():
        assert torch.equal(made.through(x, x, None), s.predict(x))
    assert made.place == torch.device("cpu")
