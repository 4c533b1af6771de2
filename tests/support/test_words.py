"""Counts and durations as a reader says them."""

import pytest

from modelstitch.support.words import among, counted, differing, duration, first_of, flat, hint, near, short, some


@pytest.mark.parametrize(
    ("n", "words", "wanted"),
    [
        (0, ("cell",), "0 cells"),
        (1, ("cell",), "1 cell"),
        (2000, ("cell",), "2,000 cells"),
        (1, ("sweep", "sweeps of all"), "1 sweep"),
        (3, ("match", "matches"), "3 matches"),
    ],
)
def test_counts(n, words, wanted):
    assert counted(n, *words) == wanted


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [
        (0.4, "0 seconds"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (7199, "120 minutes"),
        (7200, "2.0 hours"),
        (12600, "3.5 hours"),
    ],
)
def test_durations(seconds, wanted):
    assert duration(seconds) == wanted


def test_some_of_many():
    assert first_of("abc") == "a, b, c"
    assert first_of("abcdef") == "a, b, c, d and 2 more"
    assert first_of("abcdef", 2, "; ") == "a; b and 4 more"
    assert first_of([]) == ""


KNOWN = ["identity", "affine", "low-rank", "orthogonal", "scaled-orthogonal"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [("afine", ["affine"]), ("AFFINE", ["affine"]), ("ortogonal", ["orthogonal", "scaled-orthogonal"]), ("xyz", [])],
)
def test_near(word, expected):
    assert near(word, KNOWN) == expected


def test_a_name_is_given_as_it_is_written():
    assert near("layer", ["Layer", "layer2"]) == ["Layer", "layer2"]


@pytest.mark.parametrize(
    ("word", "otherwise", "expected"),
    [
        ("afine", "see there.", "did you mean 'affine'?"),
        ("xyz", "see there.", "see there."),
        ("xyz", "", "expected one of identity, affine, low-rank, orthogonal, scaled-orthogonal."),
    ],
)
def test_the_end_of_a_sentence(word, otherwise, expected):
    assert hint(word, KNOWN, otherwise) == expected


def test_a_long_list_is_cut_and_counted():
    assert some("abc") == "'a', 'b', 'c'"
    assert some(map(str, range(1000)), most=2) == "'0', '1', ... (1,000 in all)"


@pytest.mark.parametrize(
    ("word", "options", "expected"),
    [
        ("afine", {}, "expected one of affine, conv, or your own; did you mean 'affine'?"),
        ("xyz", {"lead": "expected ", "quoted": True}, "expected 'affine', 'conv', or your own."),
    ],
)
def test_a_closed_list_and_what_may_be_meant(word, options, expected):
    assert among(word, ["affine", "conv"], ", or your own", **options) == expected


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
