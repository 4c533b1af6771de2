"""The figure that a word asks for, the one that suits an answer best, and what it has not."""

import pytest

import modelstitch as ms
from modelstitch.report.figures.asked import figure_of
from modelstitch.report.similarities import SCHEMA
from modelstitch.results import FIGURES
from report.synthetic import make_records


def similarities(*pairs):
    known = {"measure": "cka_linear_biased", "kind": "similarity", "value": 0.5, "n": 10, "note": ""}
    sides = {f"{side}_{what}": value for side in ("bottom", "top") for what, value in [("index", 0), ("depth", 1.0)]}
    rows = [
        {**dict.fromkeys(SCHEMA), **known, **sides, "bottom": b, "top": t, "bottom_layer": "x", "top_layer": "x"}
        for b, t in pairs
    ]
    return ms.Results((), {"pairs": [list(pair) for pair in pairs]}, similarities=rows)


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
