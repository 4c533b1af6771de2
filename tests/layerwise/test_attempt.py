"""One value and its null level; what fails takes no other with it."""

import pytest

from modelstitch.errors import MeasureError
from modelstitch.layerwise.attempt import SideError, attempt, measured
from modelstitch.layerwise.meeting import Meeting
from modelstitch.layerwise.plan import Block
from modelstitch.measures import MEASURES, Measure

CKA = MEASURES["cka_linear_debiased"]
OWN = Measure("mine", lambda x, y: 0.0, "similarity", "0", "made up")


def values(right, shuffled=0.25):
    """What gives these values, or raises them."""

    def value_of(shuffle):
        found = right if shuffle is None else shuffled
        if isinstance(found, Exception):
            raise found
        return found

    return value_of


def test_a_value_and_its_null_level():
    assert attempt(CKA, values(0.5, AssertionError()), 0, "a and b") == (0.5, None, "")
    value, null, note = attempt(CKA, values(0.5), 3, "a and b")
    assert (value, null.mean, note) == (0.5, 0.25, "")


def test_a_value_that_is_not_defined_is_noted_and_no_null_level_is_asked_for():
    found = attempt(CKA, values(MeasureError("too few"), AssertionError()), 3, "a and b")
    assert found == (None, None, "a and b: too few")


def test_a_side_that_is_to_blame_is_named_by_itself():
    found = attempt(CKA, values(SideError("a never varies")), 3, "a and b")
    assert found == (None, None, "a never varies")


def test_a_null_level_that_is_not_defined_leaves_the_value():
    found = attempt(CKA, values(0.5, MeasureError("too few")), 3, "a and b")
    assert found == (0.5, None, "a and b, pairs shuffled: too few")


def test_what_a_users_own_measure_raises_is_noted():
    found = attempt(OWN, values(ZeroDivisionError("by zero\nand more")), 3, "a and b")
    assert found == (None, None, "a and b: the measure 'mine' raised ZeroDivisionError: by zero")


@pytest.mark.parametrize(("measure", "error"), [(CKA, ZeroDivisionError("ours")), (OWN, MemoryError("none left"))])
def test_our_own_mistakes_and_a_lack_of_memory_are_raised(measure, error):
    with pytest.raises(type(error)):
        attempt(measure, values(error), 3, "a and b")


def test_every_measure_of_every_pair():
    meeting = Meeting({}, {"a": ("x",), "b": ("y", "z")}, (("a", "b"),), both=True)
    block = Block({"a@x": 1}, {"b@y": 1, "b@z": 1}, meeting.pairs)
    directed = MEASURES["r2_bottom_to_top"]
    found = measured([CKA, directed], meeting, block, lambda m, b, t, k: float(b < t), 0)
    seams = [("a@x", "b@y", 1.0), ("a@x", "b@z", 1.0)]
    turned = [(t, b, 0.0) for b, t, _ in seams]
    assert [(p.measure, p.bottom, p.top, p.value) for p in found] == [
        *((CKA, *seam) for seam in seams),
        *((directed, *seam) for seam in [*seams, *turned]),
    ]
