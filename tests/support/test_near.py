"""Which known names may be meant by a word that is none of them."""

import pytest

from modelstitch.support.near import among, hint, near, some

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
