"""The thought experiments' claims, on records made by hand."""

import pytest
from rows import ALIKE, curve, record

from modelstitch.paper import thought_experiments as thought
from modelstitch.paper.curves import Curves


def judged(claim, rows):
    return thought.FIGURE.claims[claim].judge(Curves(rows, "honest")).word


def seam(label, value):
    return curve(label, (0.5, value, value - 0.5, value + 0.5))


@pytest.mark.parametrize(("more", "word"), [(1.5, "holds"), (3.0, "not shown"), (9.0, "contrary")])
def test_spurious_coordinates_cost_little(more, word):
    assert judged(0, seam(thought.PLAIN.label, 1.0) + seam(thought.MORE.label, 1.0 + more)) == word


@pytest.mark.parametrize(("more", "word"), [(40.0, "holds"), (0.0, "contrary")])
def test_shuffled_positions_cost_much(more, word):
    assert judged(2, seam(thought.PLAIN.label, 1.0) + seam(thought.SHUFFLED.label, 1.0 + more)) == word


def alike(label, value):
    return [record(label, 0.5, value + 0.001 * repeat, repeat=repeat, top=f"t{repeat}", **ALIKE) for repeat in range(6)]


@pytest.mark.parametrize(
    ("claim", "changed", "after", "word"),
    [
        (1, thought.CKA_MORE, 0.5, "holds"),
        (1, thought.CKA_MORE, 0.88, "contrary"),
        (3, thought.CKA_SHUFFLED, 0.9, "holds"),
        (3, thought.CKA_SHUFFLED, 0.5, "contrary"),
    ],
)
def test_what_cka_sees(claim, changed, after, word):
    assert judged(claim, alike(thought.CKA_PLAIN.label, 0.9) + alike(changed.label, after)) == word
