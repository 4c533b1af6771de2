"""Figure 4's claim, on records made by hand: the kernel hardly matters, interval included."""

import pytest
from rows import record

from modelstitch.paper import fig4
from modelstitch.paper.curves import Curves


def rows(*more, repeats=6):  # fewer have no interval
    made = []
    for repeat in range(repeats):
        for family, add in zip(("conv:1", "conv:3", "conv:5"), (0.0, *more)):
            made.append(
                record(fig4.PAIR.label, 0.5, 2.0 + repeat + add, family=family, repeat=repeat, top=f"t{repeat}")
            )
    return made


@pytest.mark.parametrize(
    ("more", "word"),
    [((0.2, -0.3), "holds"), ((0.2, 3.0), "holds in part"), ((2.0, 3.0), "contrary"), ((-2.0, -3.0), "contrary")],
)
def test_a_larger_kernel_that_moves_the_penalty_refutes_it(more, word):
    assert fig4.FIGURE.claims[0].judge(Curves(rows(*more), "honest")).word == word


def test_nothing_measured_says_nothing():
    found = fig4.FIGURE.claims[0].judge(Curves([], "honest"))
    assert (found.word, found.sentence) == ("not measured", f"Not measured: {fig4.PAIR.label}.")
