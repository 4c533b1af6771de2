"""What CKA is said to be, on curves made by hand."""

import pytest
from rows import ALIKE, record

from modelstitch.paper import cka as likeness
from modelstitch.paper.curves import Curves


@pytest.mark.parametrize(
    ("judge", "values", "word"),
    [
        (likeness.varies("a", by=0.2), (0.9, 0.95), "not shown"),
        (likeness.varies("a", by=0.2), (0.9, 0.6), "holds in part"),
        (likeness.varies("b", by=0.2), (0.9, 0.6), "not measured"),
        (likeness.between("a", 0.35, 0.9), (0.4, 0.8), "holds in part"),
        (likeness.between("a", 0.35, 0.9), (0.4, 0.95), "holds in part"),
        (likeness.between("a", 0.35, 0.9), (0.3, 0.95), "not shown"),
    ],
)
def test_what_cka_is_said_to_be_of_one_pair(judge, values, word):
    rows = [record("a", depth, value, **ALIKE) for depth, value in zip((0.3, 0.6), values)]
    assert judge(Curves(rows, "honest")).word == word


@pytest.mark.parametrize(
    ("judge", "values", "word"),
    [
        (likeness.varies("a", by=0.2), (0.9, 0.6), ("holds in part", "holds")),
        (likeness.varies("a", by=0.2), (0.9, 0.8), ("not shown", "contrary")),
        (likeness.between("a", 0.35, 0.9), (0.4, 0.8), ("holds in part", "holds")),
        (likeness.between("a", 0.35, 0.9), (0.3, 0.97), ("not shown", "contrary")),
    ],
)
def test_a_range_is_an_interval_from_six_pairs_on(judge, values, word):
    for fits, expected in zip((2, 6), word):
        rows = [
            record("a", depth, value + 0.005 * repeat, repeat=repeat, top=f"t{repeat}", **ALIKE)
            for depth, value in zip((0.3, 0.6), values)
            for repeat in range(fits)
        ]
        assert judge(Curves(rows, "honest")).word == expected
