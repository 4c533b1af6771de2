"""Figure 9's claim, on records made by hand."""

import pytest
from rows import errors

from modelstitch.paper import fig9
from modelstitch.paper.curves import Curves


@pytest.mark.parametrize(("whole", "word"), [((28.0, 32.0), "holds"), ((28.0,), "contrary")])
def test_freeze_training_is_held_against_all_networks_on_all_data(whole, word):
    rows = errors(fig9.KEPT.label, "freeze", *[32.0, 33.0] * 3)
    for seed, error in enumerate(whole):
        rows += errors(f"base, seed {seed}", "donor", error)
    rows += errors("base, little data, seed 1", "donor", 60.0) + errors("base, re-initialised, seed 1", "donor", 90.0)
    found = fig9.FIGURE.claims[0].judge(Curves(rows, "honest"))
    assert found.word == word
    assert f"against {sum(whole) / len(whole):.1f} % (all trained on all data)" in found.sentence
