"""One value and its null level; what fails takes no other with it."""

import pytest

from modelstitch.errors import MeasureError
from modelstitch.layerwise.attempt import attempt
from modelstitch.measures import MEASURES, Measure

CKA = MEASURES["cka_linear_debiased"]
OWN = Measure("mine", lambda x, y: 0.0, "similarity", "0", "made up")


def fails(error):
    def call():
        raise error

    return call


def test_a_value_and_its_null_level():
    assert attempt(CKA, lambda: 0.5, lambda: None, "a and b") == (0.5, None, "")
    level = object()
    assert attempt(CKA, lambda: 0.5, lambda: level, "a and b") == (0.5, level, "")


def test_a_value_that_is_not_defined_is_noted_and_no_null_level_is_asked_for():
    found = attempt(CKA, fails(MeasureError("too few")), fails(AssertionError), "a and b")
    assert found == (None, None, "a and b: too few")


def test_a_null_level_that_is_not_defined_leaves_the_value():
    found = attempt(CKA, lambda: 0.5, fails(MeasureError("too few")), "a and b")
    assert found == (0.5, None, "a and b, pairs shuffled: too few")


def test_what_a_users_own_measure_raises_is_noted():
    found = attempt(OWN, fails(ZeroDivisionError("by zero\nand more")), lambda: None, "a and b")
    assert found == (None, None, "a and b: the measure 'mine' raised ZeroDivisionError: by zero")


@pytest.mark.parametrize(("measure", "error"), [(CKA, ZeroDivisionError("ours")), (OWN, MemoryError("none left"))])
def test_our_own_mistakes_and_a_lack_of_memory_are_raised(measure, error):
    with pytest.raises(type(error)):
        attempt(measure, fails(error), lambda: None, "a and b")
