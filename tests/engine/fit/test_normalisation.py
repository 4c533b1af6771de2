"""What BatchNorm does in a stitched network: the policies, and modes that end."""

import pytest

from modelstitch import stitch
from modelstitch.engine.fit.normalisation import mode


class Norm:
    mode = "frozen"


def test_a_mode_ends_also_after_an_error():
    norms = {"a": Norm(), "b": Norm()}
    with mode(norms, "running"):
        assert {n.mode for n in norms.values()} == {"running"}
    assert {n.mode for n in norms.values()} == {"frozen"}
    with pytest.raises(ZeroDivisionError), mode(norms, "mean"):
        1 / 0  # noqa: B018
    assert {n.mode for n in norms.values()} == {"frozen"}


@pytest.mark.parametrize(
    ("policy", "words"), [("recalibrated", "re-estimated on fit data"), ("batch", "overwritten while fitting")]
)
def test_what_was_done_is_noted(pair, digits, policy, words):
    found = stitch(*pair, "block1", digits, objective="match", normalisation=policy, samples=200)
    assert any(words in note for note in found.record.notes)
