"""The page of similarities: whole, inert, and told where nothing can be shown."""

import pytest

from modelstitch.errors import StudyError
from modelstitch.report.similarities import SCHEMA, frame
from modelstitch.report.similarity_page import similarity_page


def rows(value=lambda i, j: 0.9 - 0.2 * abs(i - j), bottom="a", note="", measure="cka"):
    return [
        {
            **dict.fromkeys(SCHEMA),
            "bottom": bottom,
            "top": "b",
            "measure": measure,
            "kind": "similarity",
            "n": 100,
            "note": note,
            "bottom_layer": f"x{i}",
            "bottom_index": i,
            "bottom_depth": (i + 1) / 3,
            "top_layer": f"y{j}",
            "top_index": j,
            "top_depth": (j + 1) / 3,
            "value": value(i, j),
            "null_mean": 0.125,
        }
        for i in range(3)
        for j in range(3)
    ]


def test_every_value_stands_on_the_page_with_its_null_level():
    page = similarity_page("a", "b", frame(rows()), None, command="the command", notes=["one note"])
    assert page.lower().startswith("<!doctype html>")
    for text in (
        "0.900",
        "0.700",
        "0.500",
        "null 0.125",
        "the command",
        "one note",
        "3 bottom layers by 3 top layers",
        "measures: cka",
    ):
        assert text in page, text
    assert "<svg" in page


def test_names_are_text_and_nothing_else():
    page = similarity_page("<script>alert(1)</script>", "b", frame(rows(bottom="<script>alert(1)</script>")), None)
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page


def test_a_measure_without_a_value_is_left_out_and_said():
    some = frame([*rows(), *rows(lambda i, j: None, note="too few", measure="cca")])
    page = similarity_page("a", "b", some, None)
    assert "cca has no value for any pair of layers: its heat map is left out." in page


@pytest.mark.parametrize(
    ("measured", "words"),
    [(None, r"found none\."), (frame(rows(lambda i, j: None, note="too few.")), r"found none \(too few\)")],
)
def test_nothing_to_show_is_told_with_its_reason(measured, words):
    with pytest.raises(StudyError, match=f"There is nothing to show of a and b: expected a measured value, {words}"):
        similarity_page("a", "b", measured, None)
