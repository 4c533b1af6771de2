"""Pictures of a family: what stands where."""

import numpy as np
import polars as pl

from modelstitch.report.figures.family import family_figure, separation_figure


def test_rows_stand_in_the_order_of_the_tree_and_groups_have_colours():
    d = np.array([[0, 4, 1, 4.0], [4, 0, 4, 1], [1, 4, 0, 4], [4, 1, 4, 0]])
    tree = np.array([[0, 2, 1, 2], [1, 3, 1, 2], [4, 5, 4, 4.0]])
    places = pl.DataFrame({"network": list("abcd"), "group": ["x", "y", "x", "y"], "x": [0.0, 4, 0, 4], "y": [0.0] * 4})
    figure = family_figure(d, tree, places, 0.1, title="t", distance=True)
    _, heat, mapped = figure.axes
    assert [text.get_text() for text in heat.get_yticklabels()] == ["a", "c", "b", "d"]
    colours = [text.get_color() for text in heat.get_yticklabels()]
    assert colours[0] == colours[1] != colours[2] == colours[3]
    assert mapped.get_title(loc="left") == "map of the distances, stress 0.10"
    assert {text.get_text() for text in mapped.texts} == set("abcd")


def test_networks_without_groups_have_no_legend():
    d = 1.0 - np.eye(3)
    places = pl.DataFrame({"network": list("abc"), "x": [0.0, 1, 2], "y": [0.0, 1, 0]})
    places = places.with_columns(group=pl.lit(None, dtype=pl.String))
    figure = family_figure(1 - d, np.array([[0, 1, 1, 2], [2, 3, 1, 3.0]]), places, 0.0, title="t", distance=False)
    assert figure.axes[2].get_legend() is None


def test_one_line_a_measure():
    rows = [
        {"measure": m, "layer": layer, "auc": a}
        for m, a in (("cka", 0.7), ("r2", 0.9))
        for layer in ("all layers", "one", "two")
    ]
    axes = separation_figure(pl.DataFrame(rows), ["one", "two"]).axes[0]
    lines = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert lines["cka"] == [0.7, 0.7]
    assert lines["r2"] == [0.9, 0.9]
