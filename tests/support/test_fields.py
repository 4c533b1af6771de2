"""Where two plain descriptions differ, field by field."""

import pytest

from modelstitch.support.fields import differing, flat, short

HASH = "0123456789abcdef" * 2


def test_nested_values_are_named_by_their_way():
    assert flat({"fit": {"steps": 10, "names": ["a", "b"]}, "none": None, "empty": {}}) == {
        "fit.steps": "10",
        "fit.names": '["a","b"]',
        "none": "null",
        "empty": "{}",
    }


def test_only_what_differs_is_told_and_what_matters_comes_first():
    old = {"seed": 0, "fit": {"steps": 10, "rate": 0.1}, "data": {"name": "digits"}}
    new = {"seed": 1, "fit": {"steps": 20, "rate": 0.1}, "more": True}
    found = differing(old, new, first=("fit", "seed"))
    assert list(found.items()) == [
        ("fit.steps", ("10", "20")),
        ("seed", ("0", "1")),
        ("data.name", ('"digits"', "nothing")),
        ("more", ("nothing", "true")),
    ]


def test_equal_descriptions_differ_nowhere():
    assert differing({"a": {"b": 1, "c": 2}}, {"a": {"c": 2, "b": 1}}) == {}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [(f'"{HASH}"', "01234567..."), ('"0123"', '"0123"'), (f'["{HASH}",1]', "[01234567...,1]"), (HASH, HASH)],
)
def test_hashes_are_shortened(text, wanted):
    assert short(text) == wanted
