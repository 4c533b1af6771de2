"""One look for all figures: labels and numbers as prose writes them."""

import pytest
from synthetic import make_records

import modelstitch as ms
from modelstitch.report.figures.style import labels, looks, number, short


@pytest.mark.parametrize(
    ("value", "digits", "signed", "text"),
    [
        (1.25, 1, False, "1.2"),
        (-1.26, 1, False, "\u22121.3"),
        (-0.04, 1, False, "0.0"),
        (-0.04, 1, True, "0.0"),
        (0.04, 1, True, "0.0"),
        (3.0, 2, True, "+3.00"),
        (12.6, 0, False, "13"),
    ],
)
def test_numbers(value, digits, signed, text):
    assert number(value, digits, signed=signed) == text


def test_a_long_label_keeps_both_ends():
    assert short("layer", 10) == "layer"
    found = short("transformer.encoder.layers.11", 15)
    assert len(found) == 15
    assert found.startswith("transfo")
    assert found.endswith("ers.11")
    assert "…" in found


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["features.1.conv", "features.2.conv"], ["1", "2"]),
        (["a", "b"], ["a", "b"]),
        (["layer1.0", "layer1"], ["layer1.0", "layer1"]),
        (["one.same"], ["one.same"]),
        (["x.a.0", "x.b.0", "y.c.0"], ["x.a", "x.b", "y.c"]),
    ],
)
def test_parts_that_all_names_share_are_left_out(names, wanted):
    assert labels(names) == wanted


def test_every_curve_has_a_colour_or_a_dash_of_its_own():
    found = looks()
    assert "pair" in found
    assert len({(look.colour, look.dash, look.marker) for look in found.values()}) == len(found)
    assert len({look.label for look in found.values()}) == len(found)


@pytest.mark.slow
def test_a_figure_for_print_holds_its_fonts(tmp_path):
    results = ms.Results(make_records(("a", "b"), controls=("pair",)), {})
    screen = results.figure()
    paper = results.figure(style="paper")
    size = [figure.axes[0].get_xticklabels()[0].get_fontsize() for figure in (screen, paper)]
    assert size == [8.0, 7.0]
    pdf = results.draw(tmp_path / "f.pdf", style="paper").read_bytes()
    assert b"/FontFile2" in pdf  # a whole font, not outlines of type 3
    svg = results.draw(tmp_path / "f.svg", style="paper").read_text()
    assert "<text" not in svg
    assert "STIX" not in svg
    with pytest.raises(ms.StitchError, match="The style 'print' is unknown: expected one of 'screen', 'paper'"):
        results.figure(style="print")
