"""Which page an answer becomes, and what it says of how its numbers were made."""

import pytest

import modelstitch as ms
from modelstitch.errors import MeasureError
from modelstitch.report.answer_page import page_of
from report.figures.test_asked import similarities
from report.synthetic import make_records


def alike(*pairs, layer="x"):
    found = similarities(*pairs)
    found.spec |= {"about": ["Measured on 10 examples."], "weights": dict.fromkeys("abc", "as given, sha256 0")}
    for row in found.similarities:
        row["bottom_layer"] = row["top_layer"] = layer
    return found


@pytest.fixture(scope="module")
def stitches():
    records = make_records(("a", "b"), controls=("pair", "self"))
    return ms.Results(records, {"pairs": [["a", "b"]]}, cautions=["mind the gap"])


def test_stitches_alone_similarities_alone_and_a_family(stitches):
    assert "<title>Stitching report" in page_of(stitches)
    assert "<title>mine" in page_of(stitches, title="mine")
    one, several = page_of(alike(("a", "b"))), page_of(alike(("a", "b"), ("a", "c"), ("b", "c")))
    assert "<title>a and b" in one
    assert "<title>A family of 3 networks" in several
    for page in (one, several):
        assert "Measured on 10 examples." in page
        assert "Weights of a: as given, sha256 0." in page
        assert "solved on" not in page


def test_beside_stitches_the_page_says_how_both_were_made(stitches):
    layer = stitches.records[0].bottom.layer
    page = page_of(stitches, alike(("a", "b"), layer=layer))
    for text in ("examples of the fit split, ", "mind the gap", "Measured on 10 examples."):
        assert text in page


@pytest.mark.parametrize(
    ("pair", "layer", "words"),
    [
        (("a", "c"), "x", "must be of these networks in this order, found a -> c"),
        (("a", "b"), "nowhere", "of none of the pairs of layers that were stitched"),
    ],
)
def test_similarities_of_others_are_refused(stitches, pair, layer, words):
    with pytest.raises(MeasureError, match=words):
        page_of(stitches, alike(pair, layer=layer))
