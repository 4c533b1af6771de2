"""Which families need what of the sums, and that both ways come from them."""

import numpy as np
import pytest

from modelstitch.arrays.given import Vectors
from modelstitch.arrays.solve import BACK, THERE, Pairs, looks_twice, needs_both, of_directions, solved
from modelstitch.arrays.sums import PairSums
from modelstitch.errors import ArrayError

# family: products of the new side, rows of length 1, a second look
NEEDS = {
    "affine": (False, False, False),
    "low-rank:2": (False, False, False),
    "orthogonal": (False, False, False),
    "standard-orthogonal": (True, False, False),
    "relative": (True, True, False),
    "relative-whitened": (True, False, True),
    "mlp": (False, False, True),
}


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    old = rng.normal(size=(200, 4))
    return Pairs(Vectors(old), Vectors(old @ rng.normal(size=(4, 5)) + 2), None)


@pytest.mark.parametrize("family", NEEDS)
def test_what_a_family_needs(family):
    assert (needs_both(family), of_directions(family), looks_twice(family)) == NEEDS[family]


@pytest.mark.parametrize("family", ["affine", "relative", "relative-whitened", "mlp:4"])
def test_the_way_back_is_solved_where_it_is_asked_for(family, pairs, monkeypatch):
    for name in ("FEWEST_STEPS", "MOST_STEPS"):
        monkeypatch.setattr(f"modelstitch.arrays.hidden.{name}", 5)
    seen = PairSums.empty(4, 5, both=True)
    seen.add(pairs.old, pairs.new, directions=of_directions(family))
    one, two = (solved(seen, family, both=both, rows=pairs) for both in (False, True))
    assert (list(one), list(two)) == ([THERE], [THERE, BACK])
    assert np.array_equal(one[THERE].weight, two[THERE].weight)
    assert two[BACK](two[THERE](pairs.old.values)).shape == (200, 4)


def test_rows_that_never_change_are_refused(pairs):
    seen = PairSums.empty(4, 5, both=True)
    seen.add(Vectors(np.ones((200, 4))), pairs.new)
    with pytest.raises(ArrayError, match="No column of the old embeddings ever changes"):
        solved(seen, "relative-whitened", rows=pairs)
