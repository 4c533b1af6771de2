"""One value and its null level; what fails takes no other with it."""

import pytest

from modelstitch.errors import MeasureError
from modelstitch.layerwise.attempt import SideError, attempt, measured
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
    found = measured([CKA, OWN], (("x",), ("y", "z")), lambda m, b, t, k: float(len(b + t)), 0, "{} and {}".format)
    assert [(p.measure, p.bottom_layer, p.top_layer, p.value) for p in found] == [
        (measure, "x", top, 2.0) for measure in (CKA, OWN) for top in "yz"
    ]
