"""Which layers freeze-training keeps."""

import pytest

from modelstitch.paper.probes.frozen import _layers

CHILDREN = ["stem", "block1", "block2", "block3", "pool", "head"]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("first", ["stem", "block1"]),
        ("last", ["block3", "head"]),
        ("first and last", ["stem", "block1", "block3", "head"]),
        ("none", []),
    ],
)
def test_sets_of_layers(name, kept):
    assert _layers(name, CHILDREN, ("block1", "block2", "block3")) == kept
