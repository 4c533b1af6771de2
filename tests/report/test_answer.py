"""The networks of an answer, the family they make with similarities beside, and which figure and page show it."""

import pytest

import modelstitch as ms
from modelstitch.errors import MeasureError
from modelstitch.report.answer import family_in, figure_of, names_of, page_of
from modelstitch.report.similarities import SCHEMA
from modelstitch.results import FIGURES
from report.synthetic import make_records

THREE = [("a", "b"), ("a", "c"), ("b", "c")]


def similarities(*pairs):
    known = {"measure": "cka_linear_biased", "kind": "similarity", "value": 0.5, "n": 10, "note": ""}
    sides = {f"{side}_{what}": value for side in ("bottom", "top") for what, value in [("index", 0), ("depth", 1.0)]}
    rows = [
        {**dict.fromkeys(SCHEMA), **known, **sides, "bottom": b, "top": t, "bottom_layer": "x", "top_layer": "x"}
        for b, t in pairs
    ]
    return ms.Results((), {"pairs": [list(pair) for pair in pairs]}, similarities=rows)


def test_names_stand_in_the_order_in_which_they_were_given():
    assert names_of([("b", "a"), ("b", "c"), ("a", "c")]) == ["b", "a", "c"]


def test_groups_are_those_given_else_those_of_the_question():
    asked = similarities(*THREE)
    asked.spec["groups"] = {"a": "x", "b": "x", "c": "y"}
    assert family_in(asked).groups == {"a": "x", "b": "x", "c": "y"}
    assert family_in(asked, {"a": "x", "b": "y", "c": "y"}).groups["b"] == "y"
    assert not family_in(similarities(*THREE)).groups


@pytest.mark.parametrize(
    ("pairs", "data", "words"),
    [
        ([("a", "b"), ("a", "d"), ("b", "d")], {}, "must be of its networks, a, b, c, found a, b, d"),
        (THREE, {"fingerprint": "other"}, "must be of its data .*, found others"),
    ],
)
def test_similarities_of_others_are_refused(pairs, data, words):
    stitched = ms.Results(make_records(("a", "b", "c"), controls=("pair",)), {"pairs": [list(p) for p in THREE]})
    beside = similarities(*pairs)
    beside.spec["data"] = data
    with pytest.raises(MeasureError, match=words):
        family_in(stitched, similarities=beside)


def alike(*pairs, layer="x"):
    found = similarities(*pairs)
    found.spec |= {"about": ["Measured on 10 examples."], "weights": dict.fromkeys("abc", "as given, sha256 0")}
    for row in found.similarities:
        row["bottom_layer"] = row["top_layer"] = layer
    return found


@pytest.fixture(scope="module")
def paged():
    records = make_records(("a", "b"), controls=("pair", "self"))
    return ms.Results(records, {"pairs": [["a", "b"]]}, cautions=["mind the gap"])


@pytest.mark.slow
def test_stitches_alone_similarities_alone_and_a_family(paged):
    assert "<title>Stitching report" in page_of(paged)
    assert "<title>mine" in page_of(paged, title="mine")
    one, several = page_of(alike(("a", "b"))), page_of(alike(("a", "b"), ("a", "c"), ("b", "c")))
    assert "<title>a and b" in one
    assert "<title>A family of 3 networks" in several
    for page in (one, several):
        assert "Measured on 10 examples." in page
        assert "Weights of a: as given, sha256 0." in page
        assert "solved on" not in page


def test_beside_stitches_the_page_says_how_both_were_made(paged):
    layer = paged.records[0].bottom.layer
    page = page_of(paged, alike(("a", "b"), layer=layer))
    for text in ("examples of the fit split, ", "mind the gap", "Measured on 10 examples."):
        assert text in page


@pytest.mark.parametrize(
    ("pair", "layer", "words"),
    [
        (("a", "c"), "x", "must be of these networks in this order, found a -> c"),
        (("a", "b"), "nowhere", "of none of the pairs of layers that were stitched"),
    ],
)
def test_a_page_with_similarities_of_others_is_refused(paged, pair, layer, words):
    with pytest.raises(MeasureError, match=words):
        page_of(paged, alike(pair, layer=layer))


@pytest.fixture(scope="module")
def stitches():
    return ms.Results(make_records(("a", "b"), controls=("pair", "self"), examples=20), {})


@pytest.mark.parametrize("what", [None, "penalty", "matrix", "breaks", "difficulty"])
def test_a_word_has_a_figure(stitches, what):
    assert figure_of(stitches, what, ("b", "a")).axes


def test_words_are_those_that_the_docstring_of_results_names():
    assert [word for word in FIGURES if f'"{word}"' not in ms.Results.figure.__doc__] == []


def test_similarities_of_two_are_heat_maps_and_of_several_a_family():
    two, three = similarities(("a", "b")), similarities(("a", "b"), ("a", "c"), ("b", "c"))
    assert len(figure_of(two, None, None).axes) == len(figure_of(three, None, ("b", "c")).axes) == 1
    assert figure_of(three, None, None).axes[0].get_title(loc="left") == "cka_linear_biased, all layers"
    assert len(figure_of(two, "matrix", None, ["cka"]).axes) == 1  # the short name of the measure


@pytest.mark.parametrize(
    ("made", "what", "pair", "words"),
    [
        (lambda r: ms.Results([], {}), None, None, "nothing to draw: expected at least one finished cell"),
        (lambda r: r, None, ("a", "c"), "The pair a -> c was not stitched: expected one of a -> b, b -> a"),
        (lambda r: ms.Results([], {"pairs": [["a", "b"]]}), None, None, "nothing to draw of a -> b: expected a finish"),
        (lambda r: similarities(("a", "b")), "penalty", None, "have no figure 'penalty': expected 'matrix'"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_sentence(stitches, made, what, pair, words):
    with pytest.raises(ms.StitchError) as error:
        figure_of(made(stitches), what, pair)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
