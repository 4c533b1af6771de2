"""Figures: they draw what the frame holds, and their SVG may stand inside a page whatever names are like."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from scipy.stats import spearmanr
from synthetic import make_records

from modelstitch.errors import StudyError
from modelstitch.report.figures.heatmaps import matrix, matrix_figure
from modelstitch.report.figures.pair import ladder_figure, penalty_figure, scatter_figure, side_by_side, spearman
from modelstitch.report.figures.style import labels
from modelstitch.report.figures.svg import to_svg
from modelstitch.report.frame import frame, panel, settings

HOSTILE = ("<script>alert(1)</script>", "$\\frac{1}{0}$", "a\x00b\u202e&\"'", "名前" * 30)


def rows_of(bottom="a", top="b", lead=True, **kwargs):
    table = frame(make_records((bottom, top), **kwargs))
    return panel(table, bottom, top, settings(table)[0] if lead else None)


def test_the_penalty_figure_draws_every_control_where_it_is():
    fig = penalty_figure(rows_of(), "a", "b")
    (axes,) = fig.axes
    assert {t.get_text() for t in axes.texts} == {
        "this pair",
        "self",
        "random",
        "identity",
        "class-noise",
        "shuffled",
    }
    random = next(c for c in axes.lines if c.get_color() == "#D55E00" and len(c.get_xdata()) == 6)
    np.testing.assert_allclose(random.get_ydata(), [0.8 + 45 * ((i + 1) / 6) ** 2 for i in range(6)])
    assert axes.get_ylim()[1] > 88
    heights = sorted(t.get_position()[1] for t in axes.texts)
    assert min(np.diff(heights)) > 0.05


def test_a_svg_stands_alone_and_twice_in_a_page():
    fig = penalty_figure(rows_of(), "a", "b")
    svg = to_svg(fig, title="T <b>")
    root = ET.fromstring(svg)
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    for target in re.findall(r'(?:href="#|url\(#)([^")]+)', svg):
        assert target in ids
    assert not re.search(r'(?:href|src)="(?!#)', svg)
    assert "<style" not in svg
    assert "<metadata" not in svg
    assert svg == to_svg(penalty_figure(rows_of(), "a", "b"), title="T <b>")
    other = {e.get("id") for e in ET.fromstring(to_svg(fig, prefix="x-")).iter() if e.get("id")}
    assert not other & set(ids)


def test_labels_leave_out_what_all_names_share():
    assert labels(["f.a.conv", "f.b.conv"]) == ["a", "b"]
    assert labels(["layer1.0", "layer1.1", "fc"]) == ["layer1.0", "layer1.1", "fc"]
    assert labels(["a.b", "a.b.c"]) == ["b", "b.c"]
    assert labels(["a.b"]) == ["a.b"]
    assert labels(["x" * 30]) == ["xxxxxxx…xxxxxx"]


def test_a_large_matrix_has_a_readable_scale():
    rows = rows_of(layers=[f"l{i}" for i in range(13)], full_matrix=True)
    svg = to_svg(matrix_figure(rows, "a", "b"))
    assert "mathdefault" not in svg
    assert ">+50<" in svg


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(name):
    rows = rows_of(bottom=name, layers=[name + str(i) for i in range(4)], full_matrix=True)
    for fig in (penalty_figure(rows, name, "b"), matrix_figure(rows, name, "b")):
        svg = to_svg(fig, title=name)
        root = ET.fromstring(svg)
        assert not [e for e in root.iter() if e.tag.endswith("script")]
        assert "<script" not in svg
        assert "\x00" not in svg


def test_the_matrix():
    rows = rows_of(full_matrix=True)
    bottoms, tops, values = matrix(rows, "penalty")
    assert bottoms == tops == ["stem", "stage1.0", "stage2.0", "stage3.0", "pool", "fc_in"]
    assert values[5, 0] == pytest.approx(values[0, 0] + 60)
    assert np.isnan(matrix(rows_of(), "penalty")[2][0, 1])
    fig = matrix_figure(rows, "a", "b")
    assert [axes.get_title(loc="left") for axes in fig.axes] == ["penalty (points)", "linear CKA", "R²"]
    assert [axes.get_xlabel() for axes in fig.axes] == ["top: b"] * 3
    assert fig.axes[0].get_ylabel() == "bottom: a"
    corners = {(p.get_x(), p.get_y()) for p in fig.axes[0].patches}
    assert corners == {(i - 0.46, i - 0.46) for i in range(6)}


def test_the_ladder_orders_families_by_their_parameters():
    rows = rows_of(lead=False, families=("affine", "identity", "orthogonal"))
    (axes,) = ladder_figure(rows, "a", "b").axes
    assert [t.get_text() for t in axes.get_xticklabels()] == ["identity", "orthogonal", "affine"]


def test_the_scatter_states_its_correlation():
    (axes,) = scatter_figure(rows_of(full_matrix=True), "cka").axes
    assert axes.get_title(loc="left") == "Spearman correlation −1.00, 36 seams"


def test_rank_correlation_equals_scipy():
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = rng.integers(0, 6, 12), rng.normal(size=12)
        assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic)
    assert spearman([1, 1, 1], [1, 2, 3]) == 0.0


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda rows: penalty_figure(rows.clear(), "a", "b"),
            "nothing to draw for a -> b: expected penalties",
        ),
        (lambda rows: ladder_figure(rows, "a", "b"), "expected two families at least, found 1"),
        (lambda rows: scatter_figure(rows, "dcor"), "expected 2 to 4000 seams that have both, found 0"),
        (lambda rows: matrix_figure(rows, "a", "b", ["x"]), "expected one of x, found none"),
    ],
)
def test_nothing_to_draw_is_said(draw, message):
    with pytest.raises(StudyError, match=message):
        draw(rows_of())


def test_layers_of_one_depth_stand_next_to_each_other_and_before_the_next():
    at = side_by_side({"stem": 0.1, "block": 0.5, "act": 0.5, "pool": 0.5, "near": 0.52, "head": 1.0, "out": 1.0})
    assert list(at.values()) == sorted(set(at.values()))
    assert (at["stem"], at["block"], at["near"], at["head"]) == (0.1, 0.5, 0.52, 1.0)
    assert at["pool"] < 0.52
    assert side_by_side({"only": 0.4}) == {"only": 0.4}
