"""What stands behind the question mark in the name of data."""

import pytest

from modelstitch.data.readers.query import parted
from modelstitch.errors import DataError


def test_place_and_options():
    assert parted("a/b.npz?x=1&y=a,b", ("x", "y"), "array") == ("a/b.npz", {"x": "1", "y": "a,b"})
    assert parted("a", ("x",), "array") == ("a", {})


@pytest.mark.parametrize(
    ("spec", "words"),
    [("a?x", "option 'x' cannot be read"), ("a?z=1", "option 'z' is unknown: expected x or y"), ("a?x=", "cannot be")],
)
def test_options_that_are_none(spec, words):
    with pytest.raises(DataError, match=words):
        parted(spec, ("x", "y"), "array")
