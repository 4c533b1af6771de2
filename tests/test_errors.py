"""The tree of errors, and what their texts may hold."""

import inspect

import pytest

from modelstitch import errors
from modelstitch.errors import StitchError, first_line

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, Exception)]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_all_are_caught_by_the_base_and_drawn_in_the_tree(cls):
    assert issubclass(cls, StitchError)
    assert cls.__doc__
    assert cls.__name__ in errors.__doc__
    assert cls is StitchError or cls.__name__.endswith("Error")


def test_no_text_steers_a_terminal():
    text = str(StitchError("a name \x1b[2J\u202e of a file"))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert text.startswith("a name")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError("\n  \n  two\n"), "two"),
        (ValueError(""), "no message"),
        (KeyError("k"), "'k'"),
        (ValueError("x" * 400), "x" * 300),
    ],
)
def test_the_first_line_of_anothers_error(error, line):
    assert first_line(error) == line
