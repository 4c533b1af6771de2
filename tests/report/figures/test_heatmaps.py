"""Matrices of every bottom layer against every top layer, out of records whose numbers are known."""

import numpy as np
import polars as pl
import pytest
from synthetic import make_records

from modelstitch.errors import StudyError
from modelstitch.report.figures.heatmaps import matrix, matrix_figure, unit_of
from modelstitch.report.frame import frame


def rows(**options):
    made = {"layers": ("x", "y", "z"), "controls": ("pair", "random"), "full_matrix": True, **options}
    return frame(make_records(donors=("a", "b"), **made)).filter(bottom="a", top="b")


def test_the_mean_over_seeds_of_every_pair_of_layers():
    table = rows(seeds=(0, 1), penalty=lambda control, depth, seed: 10 * depth + seed)
    bottoms, tops, values = matrix(table, "penalty")
    assert bottoms == tops == ["x", "y", "z"]
    for i in range(3):
        for j in range(3):
            assert values[i, j] == pytest.approx(10 * (j + 1) / 3 + 0.5 + 12 * abs(i - j), abs=0.01)


def test_what_was_not_measured_is_no_number():
    values = matrix(rows(full_matrix=False), "penalty")[2]
    assert np.isnan(values[~np.eye(3, dtype=bool)]).all()
    assert not np.isnan(values.diagonal()).any()


def test_a_figure_has_a_map_for_each_metric_that_was_measured():
    fig = matrix_figure(rows(), "a", "b", ("penalty", "nothing", "cka"))
    titles = [axes.get_title(loc="left") for axes in fig.axes]
    assert titles[0] == "penalty (points)"
    assert len(titles) == len([m for m in ("penalty", "cka") if not np.isnan(matrix(rows(), m)[2]).all()])
    frames = [patch for patch in fig.axes[0].patches if not patch.get_fill()]
    assert len(frames) == 3  # the matching layers


def test_nothing_to_draw_is_told():
    with pytest.raises(StudyError, match="No matrix for a -> b: expected one of nothing, found none"):
        matrix_figure(rows(), "a", "b", ("nothing",))


def test_the_unit_is_the_penalties_own():
    assert unit_of(rows()) == "points"
    assert unit_of(rows().with_columns(pl.lit("nats/token").alias("unit"))) == "nats/token"
    assert unit_of(rows().drop("unit")) == "points"
