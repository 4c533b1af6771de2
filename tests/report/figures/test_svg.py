"""A drawing that may stand inside a page."""

import importlib
import re
import xml.etree.ElementTree as ET

import pytest

from modelstitch.report.figures.svg import to_svg


@pytest.fixture
def figure():
    matplotlib_figure = importlib.import_module("matplotlib.figure")
    fig = matplotlib_figure.Figure(figsize=(3, 2))
    axes = fig.add_subplot()
    axes.plot([0, 1], [0, 1], label="<b>a & b</b>", marker="o")
    axes.imshow([[0, 1], [1, 0]], extent=(0, 1, 0, 1))
    axes.legend()
    return fig


def test_ids_are_its_own_and_point_into_it(figure):
    text = to_svg(figure, prefix="p-")
    root = ET.fromstring(text)
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert ids
    assert len(ids) == len(set(ids))
    assert all(name.startswith("p-") for name in ids)
    targets = re.findall(r"url\(#([^)]+)\)", text) + re.findall(r'href="#([^"]+)"', text)
    assert targets
    assert set(targets) <= set(ids)


def test_nothing_comes_from_outside_and_nothing_is_styled(figure):
    root = ET.fromstring(to_svg(figure))
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert not names & {"style", "metadata", "script"}
    links = [value for element in root.iter() for key, value in element.attrib.items() if key.endswith("href")]
    assert all(link.startswith(("#", "data:image/png;")) for link in links)


def test_text_stays_text_and_is_escaped(figure):
    text = to_svg(figure, title='<script>"x"')
    assert "<b>" not in text
    assert "&lt;b&gt;a &amp; b&lt;/b&gt;" in text
    assert "<script>" not in text
    root = ET.fromstring(text)
    assert root[0].text == '<script>"x"'
    assert root.get("aria-labelledby") == root[0].get("id")
    assert root.get("role") == "img"


def test_the_same_drawing_has_the_same_text(figure):
    assert to_svg(figure) == to_svg(figure)
    assert "width:100%" in to_svg(figure)
